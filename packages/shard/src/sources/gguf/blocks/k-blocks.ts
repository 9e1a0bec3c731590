import { type BlockCodec, INTEGERS, integerScales, pairNibbles } from './block-codec';
import { copyBytes, copyHalf } from './simple-blocks';

// K-quants: 256 weights in sub-blocks of 16 or 32 whose scales (and offsets) are small integers under one half each;
// ggml-quants.c, dequantize_row_q*_K. A half times a scale times a code fits 24 bits in all of them, so only the
// offset's addition rounds, which it does in ggml too.

const sixteen = { rows: 1, columns: 16 } as const;
const thirtyTwo = { rows: 1, columns: 32 } as const;

/** w = q · (s · d) − m · dmin; q of 2 bits, s and m of 4. There is no 2-bit format: codes become nibbles. */
export const q2_k: BlockCodec = {
  format: { code: 'u4', nibbles: 'low', block: sixteen, scale: integerScales(16), offset: integerScales(16) },
  constants: INTEGERS,
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 84) {
      for (let b = 0; b < 16; b++) {
        out.scales[16 * (first + i) + b] = src[at + b]! & 15;
        out.offsets[16 * (first + i) + b] = src[at + b]! >> 4;
      }
      twoBits(src, at + 16, out.codes, 128 * (first + i));
      copyHalf(src, at + 80, out.supers, 2 * (first + i));
      negatedHalf(src, at + 82, out.offsetSupers, 2 * (first + i));
    }
  },
};

/** w = (q − 4) · (s · d); q of 3 bits, s an integer from −32 to 31. Codes become nibbles. */
export const q3_k: BlockCodec = {
  format: { code: 'u4', nibbles: 'low', block: sixteen, scale: integerScales(16), zero: 4 },
  constants: INTEGERS,
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 110) {
      const codes = 128 * (first + i);
      twoBits(src, at + 32, out.codes, codes);
      // The third bit of weight 32 g + j is bit g of byte j.
      for (let j = 0; j < 32; j += 2) {
        const even = src[at + j]!;
        const odd = src[at + j + 1]!;
        for (let g = 0; g < 8; g++) {
          out.codes[codes + 16 * g + (j >> 1)]! |= (((even >> g) & 1) << 2) | (((odd >> g) & 1) << 6);
        }
      }
      // Low halves of scales b and b + 8 share a byte; their high bits follow, four to a byte.
      for (let b = 0; b < 16; b++) {
        const low = (src[at + 96 + (b & 7)]! >> (4 * (b >> 3))) & 15;
        const high = (src[at + 104 + (b & 3)]! >> (2 * (b >> 2))) & 3;
        out.scales[16 * (first + i) + b] = (low | (high << 4)) - 32;
      }
      copyHalf(src, at + 108, out.supers, 2 * (first + i));
    }
  },
};

/** w = q · (s · d) − m · dmin; q of 4 bits, s and m of 6. */
export const q4_k: BlockCodec = {
  format: { code: 'u4', nibbles: 'low', block: thirtyTwo, scale: integerScales(8), offset: integerScales(8) },
  constants: INTEGERS,
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 144) {
      sixBitScales(src, at, out.scales, out.offsets, out.supers, out.offsetSupers, first + i);
      // 64 weights in 32 bytes: the first 32 low, the others high.
      for (let g = 0; g < 4; g++) pairNibbles(src, at + 16 + 32 * g, 32, out.codes, 128 * (first + i) + 32 * g);
    }
  },
};

/** The same with q of 5 bits, which become bytes. */
export const q5_k: BlockCodec = {
  format: { code: 'u8', block: thirtyTwo, scale: integerScales(8), offset: integerScales(8) },
  constants: INTEGERS,
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 176) {
      sixBitScales(src, at, out.scales, out.offsets, out.supers, out.offsetSupers, first + i);
      for (let g = 0; g < 4; g++) {
        const codes = 256 * (first + i) + 64 * g;
        for (let j = 0; j < 32; j++) {
          // Fifth bits: of weight 32 g' + j in bit g' of byte j.
          const high = src[at + 16 + j]! >> (2 * g);
          const low = src[at + 48 + 32 * g + j]!;
          out.codes[codes + j] = (low & 15) | ((high & 1) << 4);
          out.codes[codes + 32 + j] = (low >> 4) | ((high & 2) << 3);
        }
      }
    }
  },
};

/** w = (q − 32) · (s · d); q of 6 bits, s a signed byte. */
export const q6_k: BlockCodec = {
  format: { code: 'i8', block: sixteen, scale: integerScales(16) },
  constants: INTEGERS,
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 210) {
      for (let half = 0; half < 2; half++) {
        const codes = 256 * (first + i) + 128 * half;
        for (let j = 0; j < 32; j++) {
          const low = src[at + 64 * half + j]!;
          const next = src[at + 64 * half + 32 + j]!;
          const high = src[at + 128 + 32 * half + j]!;
          out.codes[codes + j] = ((low & 15) | ((high & 3) << 4)) - 32;
          out.codes[codes + 32 + j] = ((next & 15) | ((high & 12) << 2)) - 32;
          out.codes[codes + 64 + j] = ((low >> 4) | (high & 0x30)) - 32;
          out.codes[codes + 96 + j] = ((next >> 4) | ((high & 0xc0) >> 2)) - 32;
        }
      }
      copyBytes(src, at + 192, 16, out.scales, 16 * (first + i));
      copyHalf(src, at + 208, out.supers, 2 * (first + i));
    }
  },
};

/** Two-bit codes as nibbles: 128 weights in 32 bytes, weight 32 g + j in bits 2g of byte j. */
export function twoBits(src: Uint8Array, at: number, codes: Uint8Array, to: number): void {
  for (let half = 0; half < 2; half++, at += 32, to += 64) {
    for (let j = 0; j < 32; j += 2) {
      const even = src[at + j]!;
      const odd = src[at + j + 1]!;
      const pair = to + (j >> 1);
      codes[pair] = (even & 3) | ((odd & 3) << 4);
      codes[pair + 16] = ((even >> 2) & 3) | ((odd & 12) << 2);
      codes[pair + 32] = ((even >> 4) & 3) | (odd & 0x30);
      codes[pair + 48] = (even >> 6) | ((odd & 0xc0) >> 2);
    }
  }
}

/** The head of Q4_K and Q5_K: two halves, then eight scales and eight offsets of six bits in twelve bytes. */
function sixBitScales(
  src: Uint8Array,
  at: number,
  scales: Uint8Array,
  offsets: Uint8Array,
  supers: Uint8Array,
  offsetSupers: Uint8Array,
  block: number,
): void {
  copyHalf(src, at, supers, 2 * block);
  negatedHalf(src, at + 2, offsetSupers, 2 * block);
  for (let b = 0; b < 4; b++) {
    const scale = src[at + 4 + b]!;
    const offset = src[at + 8 + b]!;
    // The last four bytes hold low halves of blocks 4 to 7, whose high bits lie above the others' six.
    const rest = src[at + 12 + b]!;
    scales[8 * block + b] = scale & 63;
    offsets[8 * block + b] = offset & 63;
    scales[8 * block + 4 + b] = (rest & 15) | ((scale >> 6) << 4);
    offsets[8 * block + 4 + b] = (rest >> 4) | ((offset >> 6) << 4);
  }
}

function negatedHalf(src: Uint8Array, at: number, out: Uint8Array, to: number): void {
  out[to] = src[at]!;
  out[to + 1] = src[at + 1]! ^ 0x80;
}
