import type { Codec } from '../source';
import { type BitRows, unpackBits } from './shared/bit-rows';

/** How the codec `mlx` reads `weight` (a bit stream in words, row by row), `scales` and `biases`. */
export interface MlxParams extends BitRows {
  readonly width: 4 | 8;
}

/** Codes of MLX's 2, 3, 5 and 6 bits, in 4 or 8; scales and biases stay as they are. */
export const mlx: Codec = {
  name: 'mlx',

  rowStep: () => 1,

  convertRows({ params, shape, from, to, read, out }) {
    const packing = params as MlxParams;
    const rows = to - from;
    if (out.codes) {
      const rowBytes = 4 * packing.rowWords;
      const bytes = read('weight', from * rowBytes, rows * rowBytes);
      unpackBits(packing, bytes, { rows, columns: shape[1]!, width: packing.width }, out.codes);
    }
    if (out.scales) out.scales.set(read('scales', (from * out.scales.length) / rows, out.scales.length));
    if (out.offsets) out.offsets.set(read('biases', (from * out.offsets.length) / rows, out.offsets.length));
  },
};
