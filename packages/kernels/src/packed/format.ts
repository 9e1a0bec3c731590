import { GraphError } from '../errors';

/**
 * How a quantised matrix `[N, K]` is stored. Everything an executor must know to compile; no numbers of one tensor, so
 * that layers alike share a program.
 *
 * value(n, k) = (number(code) − zero) · scale + offset, rounded to float32 after each step; absent parts are skipped.
 */
export interface PackedFormat {
  readonly code: CodeKind;
  /** Of 4-bit codes: which half of a byte holds the even column. */
  readonly nibbles?: 'low' | 'high';
  /** Weights that share a scale (and zero, and offset): stored columns and rows; the last block may be short. */
  readonly block: { readonly rows: number; readonly columns: number };
  /** Blocks of `columns` weights run over the flattened matrix, across the ends of rows (bitsandbytes). */
  readonly flat?: true;
  readonly scale: BlockNumbers;
  /** One number for all, or one per block. */
  readonly zero?: number | { readonly dtype: BlockDType };
  readonly offset?: BlockNumbers;
  /** Stored column j is column `columns[j]` of the matrix (act-order): activations are permuted to meet it. */
  readonly columns?: true;
}

/**
 * What a code is before scaling: an unsigned nibble, a nibble that picks one of 16 numbers, an unsigned or signed byte,
 * or a float of 4 exponent and 3 fraction bits without infinities (e4m3fn).
 */
export type CodeKind = 'u4' | 'table4' | 'u8' | 'i8' | 'e4m3';

/** How a number that a block of weights shares is stored; U8 picks one of 256 numbers. */
export type BlockDType = 'F32' | 'F16' | 'BF16' | 'U8';

/** One number per block: (stored number, or the one of 256 that a U8 picks) · super + bias. */
export interface BlockNumbers {
  readonly dtype: BlockDType;
  /** One more factor per `every` blocks in a row, counted over all blocks. */
  readonly supers?: { readonly dtype: Exclude<BlockDType, 'U8'>; readonly every: number };
  /** A number of the tensor is added (bitsandbytes' nested offset); scales only. */
  readonly bias?: true;
}

/** The tensors a packed matrix is made of. */
export type ComponentName =
  | 'codes'
  | 'scales'
  | 'supers'
  | 'zeros'
  | 'offsets'
  | 'offsetSupers'
  | 'columns'
  | 'constants';

/** In the order in which they are listed, stored and passed. */
export const COMPONENTS: readonly ComponentName[] = [
  'codes',
  'scales',
  'supers',
  'zeros',
  'offsets',
  'offsetSupers',
  'columns',
  'constants',
];

/** Bits of one code. */
export function codeBits(code: CodeKind): 4 | 8 {
  return code === 'u4' || code === 'table4' ? 4 : 8;
}

/** Components a format has, in order. */
export function componentsOf(format: PackedFormat): readonly ComponentName[] {
  const has: Record<ComponentName, boolean> = {
    codes: true,
    scales: true,
    supers: format.scale.supers !== undefined,
    zeros: typeof format.zero === 'object',
    offsets: format.offset !== undefined,
    offsetSupers: format.offset?.supers !== undefined,
    columns: format.columns === true,
    constants: constantCount(format) > 0,
  };
  return COMPONENTS.filter((name) => has[name]);
}

/** Where the constants of a tensor lie in its float32 vector: bias, then 16, then 256 numbers, as far as there are any. */
export interface ConstantPlaces {
  readonly bias?: number;
  readonly table4?: number;
  readonly table8?: number;
  readonly count: number;
}

/** Where a format's constants lie in their vector, and how many there are. */
export function constantPlaces(format: PackedFormat): ConstantPlaces {
  let count = 0;
  const take = (length: number) => {
    count += length;
    return count - length;
  };
  const bias = format.scale.bias ? { bias: take(1) } : {};
  const table4 = format.code === 'table4' ? { table4: take(16) } : {};
  const looksUp = format.scale.dtype === 'U8' || format.offset?.dtype === 'U8';
  const table8 = looksUp ? { table8: take(256) } : {};
  return { ...bias, ...table4, ...table8, count };
}

function constantCount(format: PackedFormat): number {
  return constantPlaces(format).count;
}

/** Blocks across a row, counting a short last one. */
export function blocksPerRow(format: PackedFormat, columns: number): number {
  return Math.ceil(columns / format.block.columns);
}

/** All blocks of a matrix of N rows and K columns. */
export function blockCount(format: PackedFormat, rows: number, columns: number): number {
  if (format.flat) return Math.ceil((rows * columns) / format.block.columns);
  return Math.ceil(rows / format.block.rows) * blocksPerRow(format, columns);
}

/** Throws {@link GraphError} for a format that makes no sense. */
export function checkFormat(name: string, format: PackedFormat): void {
  const { block, scale, offset, zero } = format;
  const fail = (reason: string): never => {
    throw new GraphError('weight', `${name}: ${reason}`);
  };
  const whole = (value: number) => Number.isSafeInteger(value) && value > 0;
  if (!whole(block.rows) || !whole(block.columns)) fail(`blocks of ${block.rows} by ${block.columns} weights`);
  if (format.flat && block.rows !== 1) fail('blocks of the flattened matrix have one row');
  if ((format.nibbles !== undefined) !== (codeBits(format.code) === 4))
    fail('nibbles are of 4-bit codes, and only of them');
  for (const numbers of [scale, offset]) {
    if (numbers?.supers !== undefined && !whole(numbers.supers.every)) fail(`supers of ${numbers.supers.every} blocks`);
  }
  if (offset?.bias) fail('offsets have no bias');
  if (typeof zero === 'number' && !Number.isFinite(zero)) fail(`a zero of ${zero}`);
}
