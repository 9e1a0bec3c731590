import { type BlockCodec, type BlockOutputs, codebook, integerScales, signed8 } from './block-codec';
import { latticePoints } from './lattices';
import { copyHalf } from './simple-blocks';

// Types that choose 4 or 8 weights at once from a lattice, with signs apart; ggml-quants.c, dequantize_row_iq*.
// Magnitudes and signs become nibbles that pick one of 16 numbers. ggml scales by d · (s + ½) / 4 (or / 2); the same is
// d · (2s + 1) with magnitudes divided by 8 (or 4), all exact.

const MINUS = 8;

/** The sign bit of each of eight nibbles, by a byte with one bit per weight. */
const SIGNS = Uint32Array.from({ length: 256 }, (_, bits) => {
  let nibbles = 0;
  for (let i = 0; i < 8; i++) if ((bits >> i) & 1) nibbles |= MINUS << (4 * i);
  return nibbles;
});

/** The same by seven bits; the eighth makes their number even. */
const EVEN_SIGNS = Uint32Array.from({ length: 128 }, (_, bits) => {
  let parity = 0;
  for (let i = 0; i < 7; i++) parity ^= (bits >> i) & 1;
  return SIGNS[bits | (parity << 7)]!;
});

const twoBit = codebook(signed8([8, 25, 43].map((magnitude) => magnitude / 8)));
const threeBit = codebook(signed8([4, 12, 20, 28, 36, 44, 52, 62].map((magnitude) => magnitude / 4)));
const odd = codebook(signed8([1, 3, 5, 7, 9, 11, 13, 15]));
/** −1, 0 and 1, moved up or (with bit 2) down by an eighth. */
const shifted = codebook([-1, 0, 1, 0, -1, 0, 1, 0].map((value, i) => value + (i < 4 ? 0.125 : -0.125)));

const lattice = (columns: 16 | 32): BlockCodec['format'] => ({
  code: 'table4',
  nibbles: 'low',
  block: { rows: 1, columns },
  scale: integerScales(256 / columns),
});

/** Per 32 weights: four points, then four times seven sign bits and a scale in one word. */
export const iq2_xxs: BlockCodec = {
  format: lattice(32),
  constants: twoBit,
  decode(src, at, count, out, first) {
    const points = latticePoints('IQ2_XXS');
    for (let i = 0; i < count; i++, at += 66) {
      copyHalf(src, at, out.supers, 2 * (first + i));
      for (let b = 0; b < 8; b++) {
        const from = at + 2 + 8 * b;
        const word = word32(src, from + 4);
        out.scales[8 * (first + i) + b] = 2 * (word >>> 28) + 1;
        const codes = 128 * (first + i) + 16 * b;
        for (let g = 0; g < 4; g++) {
          put(out.codes, codes + 4 * g, points[src[from + g]!]! | EVEN_SIGNS[(word >>> (7 * g)) & 127]!);
        }
      }
    }
  },
};

/** Per 8 weights: nine bits of point and seven of signs. Scales of four bits per 16 weights. */
export const iq2_xs: BlockCodec = {
  format: lattice(16),
  constants: twoBit,
  decode(src, at, count, out, first) {
    const points = latticePoints('IQ2_XS');
    for (let i = 0; i < count; i++, at += 74) {
      copyHalf(src, at, out.supers, 2 * (first + i));
      for (let g = 0; g < 32; g++) {
        const entry = src[at + 2 + 2 * g]! | (src[at + 3 + 2 * g]! << 8);
        put(out.codes, 128 * (first + i) + 4 * g, points[entry & 511]! | EVEN_SIGNS[entry >> 9]!);
      }
      nibbleScales(src, at + 66, out, 16 * (first + i));
    }
  },
};

/** Per 8 weights: eight bits of point, two more apart, and all eight signs. */
export const iq2_s: BlockCodec = {
  format: lattice(16),
  constants: twoBit,
  decode(src, at, count, out, first) {
    const points = latticePoints('IQ2_S');
    for (let i = 0; i < count; i++, at += 82) {
      copyHalf(src, at, out.supers, 2 * (first + i));
      for (let g = 0; g < 32; g++) {
        const high = (src[at + 66 + (g >> 2)]! >> (2 * (g & 3))) & 3;
        const point = points[src[at + 2 + g]! | (high << 8)]!;
        put(out.codes, 128 * (first + i) + 4 * g, point | SIGNS[src[at + 34 + g]!]!);
      }
      nibbleScales(src, at + 74, out, 16 * (first + i));
    }
  },
};

/** Per 32 weights: eight points of four weights; signs and scale as in IQ2_XXS, all words behind all points. */
export const iq3_xxs: BlockCodec = {
  format: lattice(32),
  constants: threeBit,
  decode(src, at, count, out, first) {
    const points = latticePoints('IQ3_XXS');
    for (let i = 0; i < count; i++, at += 98) {
      copyHalf(src, at, out.supers, 2 * (first + i));
      for (let b = 0; b < 8; b++) {
        const word = word32(src, at + 66 + 4 * b);
        out.scales[8 * (first + i) + b] = 2 * (word >>> 28) + 1;
        for (let g = 0; g < 4; g++) {
          const from = at + 2 + 8 * b + 2 * g;
          const eight = points[src[from]!]! | (points[src[from + 1]!]! << 16);
          put(out.codes, 128 * (first + i) + 16 * b + 4 * g, eight | EVEN_SIGNS[(word >>> (7 * g)) & 127]!);
        }
      }
    }
  },
};

/** Points of nine bits for four weights, the ninth apart, all signs, and a scale of four bits per 32 weights. */
export const iq3_s: BlockCodec = {
  format: lattice(32),
  constants: odd,
  decode(src, at, count, out, first) {
    const points = latticePoints('IQ3_S');
    for (let i = 0; i < count; i++, at += 110) {
      copyHalf(src, at, out.supers, 2 * (first + i));
      for (let g = 0; g < 32; g++) {
        const high = src[at + 66 + (g >> 2)]! >> (2 * (g & 3));
        const left = points[src[at + 2 + 2 * g]! | ((high & 1) << 8)]!;
        const right = points[src[at + 3 + 2 * g]! | ((high & 2) << 7)]!;
        put(out.codes, 128 * (first + i) + 4 * g, left | (right << 16) | SIGNS[src[at + 74 + g]!]!);
      }
      for (let b = 0; b < 8; b++) {
        out.scales[8 * (first + i) + b] = 2 * ((src[at + 106 + (b >> 1)]! >> (4 * (b & 1))) & 15) + 1;
      }
    }
  },
};

const DOWN = 0x44444444;

/** Per 32 weights: four points of eleven bits, a scale of three, and one bit that says up or down. */
export const iq1_s: BlockCodec = {
  format: lattice(32),
  constants: shifted,
  decode(src, at, count, out, first) {
    const points = latticePoints('IQ1');
    for (let i = 0; i < count; i++, at += 50) {
      copyHalf(src, at, out.supers, 2 * (first + i));
      for (let b = 0; b < 8; b++) {
        const high = src[at + 34 + 2 * b]! | (src[at + 35 + 2 * b]! << 8);
        out.scales[8 * (first + i) + b] = 2 * ((high >> 12) & 7) + 1;
        const down = high & 0x8000 ? DOWN : 0;
        for (let g = 0; g < 4; g++) {
          const point = points[src[at + 2 + 4 * b + g]! | (((high >> (3 * g)) & 7) << 8)]!;
          put(out.codes, 128 * (first + i) + 16 * b + 4 * g, point | down);
        }
      }
    }
  },
};

/** The same with a scale per 16 weights, up or down per 8, and the half's bits above the scales'. */
export const iq1_m: BlockCodec = {
  format: lattice(16),
  constants: shifted,
  decode(src, at, count, out, first) {
    const points = latticePoints('IQ1');
    for (let i = 0; i < count; i++, at += 56) {
      for (let g = 0; g < 32; g++) {
        const high = src[at + 32 + (g >> 1)]! >> (4 * (g & 1));
        const point = points[src[at + g]! | ((high & 7) << 8)]!;
        put(out.codes, 128 * (first + i) + 4 * g, point | (high & 8 ? DOWN : 0));
      }
      let half = 0;
      for (let w = 0; w < 4; w++) {
        const word = src[at + 48 + 2 * w]! | (src[at + 49 + 2 * w]! << 8);
        half |= (word >> 12) << (4 * w);
        for (let b = 0; b < 4; b++) out.scales[16 * (first + i) + 4 * w + b] = 2 * ((word >> (3 * b)) & 7) + 1;
      }
      out.supers[2 * (first + i)] = half;
      out.supers[2 * (first + i) + 1] = half >> 8;
    }
  },
};

/** Sixteen scales of four bits, as 2s + 1. */
function nibbleScales(src: Uint8Array, at: number, out: BlockOutputs, to: number): void {
  for (let b = 0; b < 8; b++) {
    out.scales[to + 2 * b] = 2 * (src[at + b]! & 15) + 1;
    out.scales[to + 2 * b + 1] = 2 * (src[at + b]! >> 4) + 1;
  }
}

function word32(src: Uint8Array, at: number): number {
  return src[at]! | (src[at + 1]! << 8) | (src[at + 2]! << 16) | (src[at + 3]! << 24);
}

/** Eight nibbles to four bytes. */
function put(codes: Uint8Array, at: number, nibbles: number): void {
  codes[at] = nibbles;
  codes[at + 1] = nibbles >> 8;
  codes[at + 2] = nibbles >> 16;
  codes[at + 3] = nibbles >> 24;
}
