import { codeBits, type PackedFormat, SIGNED } from '@airllm/kernels';
import type { OutputName } from '../../source';

/** Outputs of a block format, from the first block of a range on. */
export interface BlockOutputs {
  readonly codes: Uint8Array;
  readonly scales: Uint8Array;
  /** Empty where the format has none. */
  readonly supers: Uint8Array;
  readonly offsets: Uint8Array;
  readonly offsetSupers: Uint8Array;
}

/**
 * One of ggml's block types, rewritten to a packed format that means the same numbers: exactly, for every type here.
 * Codes, scales and their factors stay the integers and halves they are; the products are rounded to float32 by whoever
 * computes, in the same order as ggml does, or are exact because their factors have few enough bits.
 */
export interface BlockCodec {
  readonly format: PackedFormat;
  /** The format's constants, where it has any. */
  readonly constants?: Float32Array;
  /** Rewrites `count` blocks that begin at `src[at]`; block i of them is block `first + i` of the outputs. */
  decode(src: Uint8Array, at: number, count: number, out: BlockOutputs, first: number): void;
}

/** Bytes of each output that one block of `values` weights makes. */
export function bytesPerBlock(format: PackedFormat, values: number): Readonly<Record<keyof BlockOutputs, number>> {
  const scales = values / format.block.columns;
  const bytes = (dtype: string) => (dtype === 'U8' ? 1 : dtype === 'F32' ? 4 : 2);
  const { scale, offset } = format;
  const supers = (numbers: PackedFormat['offset']) =>
    numbers?.supers === undefined ? 0 : (scales / numbers.supers.every) * bytes(numbers.supers.dtype);
  return {
    codes: (values * codeBits(format.code)) / 8,
    scales: scales * bytes(scale.dtype),
    supers: supers(scale),
    offsets: offset === undefined ? 0 : scales * bytes(offset.dtype),
    offsetSupers: supers(offset),
  };
}

export const BLOCK_OUTPUTS: readonly (OutputName & keyof BlockOutputs)[] = [
  'codes',
  'scales',
  'supers',
  'offsets',
  'offsetSupers',
];

/** Scales that are small integers under one half-precision factor per 256 weights: `blocks` of them. */
export const integerScales = (blocks: number) =>
  ({ dtype: 'U8', supers: { dtype: 'F16', every: blocks } }) as const satisfies PackedFormat['scale'];

/** Constants of formats with integer scales: bytes as signed numbers, which hold ggml's 4- and 6-bit ones too. */
export const INTEGERS: Float32Array = SIGNED;

/** Constants of a codebook with integer scales. */
export function codebook(numbers: readonly number[], table8: Float32Array = INTEGERS): Float32Array {
  const constants = new Float32Array(16 + 256);
  constants.set(numbers);
  constants.set(table8, 16);
  return constants;
}

/** 16 numbers: eight, and the same negated. */
export function signed8(numbers: readonly number[]): number[] {
  const eight = Array.from({ length: 8 }, (_, i) => numbers[i] ?? 0);
  return [...eight, ...eight.map((number) => -number)];
}

/**
 * Nibbles of a block of 2 · `half` weights, where ggml puts weight i low and weight i + half high, to pairs of
 * neighbours, the even one low.
 */
export function pairNibbles(src: Uint8Array, at: number, half: number, codes: Uint8Array, to: number): void {
  const quarter = half >> 1;
  for (let i = 0, from = at; i < quarter; i++, from += 2) {
    const even = src[from]!;
    const odd = src[from + 1]!;
    codes[to + i] = (even & 15) | ((odd & 15) << 4);
    codes[to + quarter + i] = (even >> 4) | (odd & 0xf0);
  }
}
