import type { BlockCodec } from './block-codec';
import { twoBits } from './k-blocks';
import { copyHalf } from './simple-blocks';

// Ternary weights (BitNet): w = (q − 1) · d with one half per 256 weights; ggml-quants.c, dequantize_row_tq*.

const format = {
  code: 'u4',
  nibbles: 'low',
  block: { rows: 1, columns: 256 },
  scale: { dtype: 'F16' },
  zero: 1,
} as const satisfies BlockCodec['format'];

/** Two bits a weight. */
export const tq2_0: BlockCodec = {
  format,
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 66) {
      twoBits(src, at, out.codes, 128 * (first + i));
      copyHalf(src, at + 64, out.scales, 2 * (first + i));
    }
  },
};

/** Which of a byte's five ternary digits, by the power of three that brings it to the top. */
const POWERS = [1, 3, 9, 27, 81];
/** Runs of bytes in a block: where they begin, how many, and how many digits each holds. */
const RUNS = [
  { begin: 0, bytes: 32, digits: 5 },
  { begin: 32, bytes: 16, digits: 5 },
  { begin: 48, bytes: 4, digits: 4 },
] as const;

/** Five weights a byte: a fraction of 256 whose digits to the base 3 they are. */
export const tq1_0: BlockCodec = {
  format,
  decode(src, at, count, out, first) {
    for (let i = 0; i < count; i++, at += 54) {
      let to = 128 * (first + i);
      for (const { begin, bytes, digits } of RUNS) {
        for (let digit = 0; digit < digits; digit++) {
          const power = POWERS[digit]!;
          for (let j = begin; j < begin + bytes; j += 2) {
            const even = (((src[at + j]! * power) & 255) * 3) >> 8;
            const odd = (((src[at + j + 1]! * power) & 255) * 3) >> 8;
            out.codes[to++] = even | (odd << 4);
          }
        }
      }
      copyHalf(src, at + 52, out.scales, 2 * (first + i));
    }
  },
};
