import { type BlockCodec, codebook, pairNibbles } from './block-codec';

// Blocks of 32 weights with one scale (and offset) each; ggml-quants.c, dequantize_row_*.

const half = { dtype: 'F16' } as const;
const block = { rows: 1, columns: 32 } as const;

/** w = (q − 8) · d. A half times a 4-bit integer is exact. */
export const q4_0: BlockCodec = {
  format: { code: 'u4', nibbles: 'low', block, scale: half, zero: 8 },
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 18) {
      copyHalf(src, at, out.scales, 2 * (first + i));
      pairNibbles(src, at + 2, 16, out.codes, 16 * (first + i));
    }
  },
};

/** w = q · d + m: the product is exact, the sum is rounded once, as in ggml. */
export const q4_1: BlockCodec = {
  format: { code: 'u4', nibbles: 'low', block, scale: half, offset: half },
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 20) {
      copyHalf(src, at, out.scales, 2 * (first + i));
      copyHalf(src, at + 2, out.offsets, 2 * (first + i));
      pairNibbles(src, at + 4, 16, out.codes, 16 * (first + i));
    }
  },
};

/** w = (q − 16) · d, q of 5 bits: whole bytes, since there is no 5-bit format. */
export const q5_0: BlockCodec = {
  format: { code: 'i8', block, scale: half },
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 22) {
      copyHalf(src, at, out.scales, 2 * (first + i));
      fiveBits(src, at + 2, 16, out.codes, 32 * (first + i));
    }
  },
};

/** w = q · d + m, q of 5 bits. */
export const q5_1: BlockCodec = {
  format: { code: 'u8', block, scale: half, offset: half },
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 24) {
      copyHalf(src, at, out.scales, 2 * (first + i));
      copyHalf(src, at + 2, out.offsets, 2 * (first + i));
      fiveBits(src, at + 4, 0, out.codes, 32 * (first + i));
    }
  },
};

/** w = q · d. */
export const q8_0: BlockCodec = {
  format: { code: 'i8', block, scale: half },
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 34) {
      copyHalf(src, at, out.scales, 2 * (first + i));
      copyBytes(src, at + 2, 32, out.codes, 32 * (first + i));
    }
  },
};

/** w = q · d with d in single precision and sums that only ggml's kernels want. */
export const q8_k: BlockCodec = {
  format: { code: 'i8', block: { rows: 1, columns: 256 }, scale: { dtype: 'F32' } },
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 292) {
      copyBytes(src, at, 4, out.scales, 4 * (first + i));
      copyBytes(src, at + 4, 256, out.codes, 256 * (first + i));
    }
  },
};

const nonLinear = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** w = table[q] · d. */
export const iq4_nl: BlockCodec = {
  format: { code: 'table4', nibbles: 'low', block, scale: half },
  constants: Float32Array.from(nonLinear),
  decode: q4_0.decode,
};

/** w = table[q] · (s · d), s an integer from −32 to 31. */
export const iq4_xs: BlockCodec = {
  format: { code: 'table4', nibbles: 'low', block, scale: { dtype: 'U8', supers: { dtype: 'F16', every: 8 } } },
  constants: codebook(nonLinear),
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 136) {
      copyHalf(src, at, out.supers, 2 * (first + i));
      const high = src[at + 2]! | (src[at + 3]! << 8);
      for (let b = 0; b < 8; b++) {
        const low = (src[at + 4 + (b >> 1)]! >> (4 * (b & 1))) & 15;
        out.scales[8 * (first + i) + b] = (low | (((high >> (2 * b)) & 3) << 4)) - 32;
        pairNibbles(src, at + 8 + 16 * b, 16, out.codes, 128 * (first + i) + 16 * b);
      }
    }
  },
};

/** E2M1 doubled, as ggml has it, with half the scale: so 2^127 · 2 never overflows on its way. */
const e2m1Doubled = [0, 1, 2, 3, 4, 6, 8, 12, -0, -1, -2, -3, -4, -6, -8, -12];

/** w = table[q] · 2^(e − 128). */
export const mxfp4: BlockCodec = {
  format: { code: 'table4', nibbles: 'low', block, scale: { dtype: 'U8' } },
  constants: codebook(
    e2m1Doubled,
    Float32Array.from({ length: 256 }, (_, e) => 2 ** (e - 128)),
  ),
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 17) {
      out.scales[first + i] = src[at]!;
      pairNibbles(src, at + 1, 16, out.codes, 16 * (first + i));
    }
  },
};

/** w = table[q] · s, s an E4M3 number without its sign, halved. Blocks of 64 with four scales. */
export const nvfp4: BlockCodec = {
  format: { code: 'table4', nibbles: 'low', block: { rows: 1, columns: 16 }, scale: { dtype: 'U8' } },
  constants: codebook(
    e2m1Doubled,
    Float32Array.from({ length: 256 }, (_, byte) => halfUnsignedE4m3(byte)),
  ),
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 36) {
      copyBytes(src, at, 4, out.scales, 4 * (first + i));
      for (let b = 0; b < 4; b++) pairNibbles(src, at + 4 + 8 * b, 8, out.codes, 32 * (first + i) + 8 * b);
    }
  },
};

/** ggml reads the NaN as 0 and ignores the sign, except that 0xff is no NaN to it. */
function halfUnsignedE4m3(byte: number): number {
  if (byte === 0x7f) return 0;
  const exponent = (byte >> 3) & 15;
  const fraction = byte & 7;
  return (exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10)) / 2;
}

/** Five-bit codes less `zero`: 32 high bits, then 16 bytes of low ones, as in Q4. */
function fiveBits(src: Uint8Array, at: number, zero: number, codes: Uint8Array, to: number): void {
  const high = src[at]! | (src[at + 1]! << 8) | (src[at + 2]! << 16) | (src[at + 3]! << 24);
  for (let i = 0; i < 16; i++) {
    const byte = src[at + 4 + i]!;
    codes[to + i] = ((byte & 15) | (((high >>> i) & 1) << 4)) - zero;
    codes[to + 16 + i] = ((byte >> 4) | (((high >>> (i + 16)) & 1) << 4)) - zero;
  }
}

export function copyHalf(src: Uint8Array, at: number, out: Uint8Array, to: number): void {
  out[to] = src[at]!;
  out[to + 1] = src[at + 1]!;
}

/** For short runs a loop beats `set` on a view. */
export function copyBytes(src: Uint8Array, at: number, length: number, out: Uint8Array, to: number): void {
  for (let i = 0; i < length; i++) out[to + i] = src[at + i]!;
}
