import { dtypeBits, type MetaTensor } from '@airllm/loader';
import { BLOCK, COMPRESSED, type Compression, NF4 } from '../../compress/kinds';
import { type FloatDType, type RowOut, RowQuantiser } from '../../compress/row-quantiser';
import type { Codec, Conversion } from '../source';

export interface CompressParams {
  readonly kind: Compression;
  readonly dtype: FloatDType;
}

/** What makes 8 or 4 bits of a dense matrix `[N, K]` of floats. */
export function compressConversion(matrix: MetaTensor, kind: Compression): Conversion {
  const params: CompressParams = { kind, dtype: matrix.dtype as FloatDType };
  return {
    kind: 'conversion',
    name: matrix.name,
    shape: matrix.shape,
    codec: compress.name,
    params,
    inputs: { matrix },
    output: { format: COMPRESSED[kind], ...(kind === 'nf4' && { constants: NF4 }) },
  };
}

/** Reads some rows at a time, so that reads are large whatever the width. */
const READ_BYTES = 1 << 20;

export const compress: Codec = {
  name: 'compress',

  rowStep: () => 1,

  convertRows({ params, shape, from, to, read, out, measure }) {
    const { kind, dtype } = params as CompressParams;
    const columns = shape.at(-1)!;
    const rowBytes = (columns * dtypeBits(dtype)) / 8;
    const quantiser = new RowQuantiser(kind, columns, dtype);
    const blocks = Math.ceil(columns / BLOCK);
    const rowsAtOnce = Math.max(1, Math.floor(READ_BYTES / rowBytes));
    for (let row = from; row < to; row += rowsAtOnce) {
      const rows = Math.min(rowsAtOnce, to - row);
      const stored = read('matrix', row * rowBytes, rows * rowBytes);
      for (let r = 0; r < rows; r++) {
        const at = row - from + r;
        const place: RowOut = {
          codes: out.codes?.subarray((at * columns) / quantiser.codesPerByte),
          scales: out.scales?.subarray(2 * at * blocks),
          zeros: out.zeros?.subarray(at * blocks),
        };
        if (quantiser.run(stored.subarray(r * rowBytes, (r + 1) * rowBytes), place)) continue;
        throw new RangeError(`row ${row + r} holds a weight that is no finite number`);
      }
    }
    measure?.(quantiser.squaredError, quantiser.squaredNorm);
  },
};
