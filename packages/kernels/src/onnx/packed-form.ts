import type { PackedWeightSpec } from '../graph/graph';
import type { BlockNumbers } from '../packed/format';

/** Ops of onnxruntime's that multiply with codes: MatMulNBits, and MatMulBnb4 with bitsandbytes' tables. */
export type PackedKind = 'nbits' | 'bnb4';

/** How a quantised matrix is kept for one of them: codes as they are, one float32 scale per block. */
export interface PackedForm {
  readonly kind: PackedKind;
  readonly bits: 4 | 8;
  /** Columns of a block. */
  readonly block: number;
  /** Whether each block has a zero of its own; else it is the middle of the codes, or there is none. */
  readonly zeros: boolean;
  /** Whether activations are brought into the order of the stored columns first. */
  readonly permutes: boolean;
}

const BLOCKS = [16, 32, 64, 128, 256];

/** The form, of those that there are, that means exactly what the format does; undefined for what is decoded. */
export function packedForm(weight: PackedWeightSpec, kinds: readonly PackedKind[]): PackedForm | undefined {
  const form = weight.format.code === 'table4' ? tableForm(weight) : bitsForm(weight);
  return form !== undefined && kinds.includes(form.kind) ? form : undefined;
}

function bitsForm({ format, columns }: PackedWeightSpec): PackedForm | undefined {
  const { code, block, flat, zero, offset } = format;
  const blocks = block.rows === 1 && !flat && BLOCKS.includes(block.columns) && columns % block.columns === 0;
  if (!blocks || offset !== undefined || code === 'table4' || code === 'e4m3') return undefined;
  const bits = code === 'u4' ? 4 : 8;
  // Signed bytes are moved up by 128.
  const middle = code === 'i8' ? 0 : 2 ** (bits - 1);
  const zeros = typeof zero === 'object';
  if (zeros && (zero.dtype !== 'U8' || code === 'i8')) return undefined;
  if (!zeros && (zero ?? 0) !== middle) return undefined;
  return { kind: 'nbits', bits, block: block.columns, zeros, permutes: format.columns === true };
}

/**
 * What looks like bitsandbytes: the even column first, and scales that are no numbers of a byte alone, as those of MXFP4
 * and NVFP4 are. Whether the table is one of its two is seen when the matrix comes.
 */
function tableForm({ format, columns }: PackedWeightSpec): PackedForm | undefined {
  const { nibbles, block, zero, offset, scale } = format;
  const blocks = block.rows === 1 && BLOCKS.includes(block.columns) && columns % block.columns === 0;
  if (!blocks || nibbles !== 'high' || !nested(scale)) return undefined;
  if (offset !== undefined || (zero ?? 0) !== 0 || format.columns) return undefined;
  return { kind: 'bnb4', bits: 4, block: block.columns, zeros: false, permutes: false };
}

function nested({ dtype, supers, bias }: BlockNumbers): boolean {
  return dtype !== 'U8' || (supers !== undefined && bias === true);
}

/** Bytes of `rows` rows of such a matrix: codes, float32 scales, zeros. */
export function packedBytes({ bits, block, zeros, permutes }: PackedForm, rows: number, columns: number): number {
  const blocks = columns / block;
  const zeroBytes = zeros ? Math.ceil((blocks * bits) / 8) : 0;
  return rows * ((columns * bits) / 8 + 4 * blocks + zeroBytes) + (permutes ? 4 * columns : 0);
}
