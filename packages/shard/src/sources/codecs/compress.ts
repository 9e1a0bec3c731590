import { floats } from '@airllm/kernels';
import { type DType, dtypeBits, type MetaTensor } from '@airllm/loader';
import { BLOCK, COMPRESSED, type Compression, NF4 } from '../../compress/kinds';
import { RowQuantiser, type RowsOut } from '../../compress/row-quantiser';
import type { Codec, Conversion } from '../source';

export interface CompressParams {
  readonly kind: Compression;
  readonly dtype: 'F32' | 'F16' | 'BF16';
  /** Of the norm in front, if that is known: its dtype, and what is added to its weights (1 in Gemma). */
  readonly gain: { readonly dtype: 'F32' | 'F16' | 'BF16'; readonly plus: number } | null;
}

export interface CompressOptions {
  readonly kind: Compression;
  /** The weight of the norm whose output the matrix takes. */
  readonly gain?: { readonly tensor: MetaTensor; readonly plus: number } | undefined;
}

/** What makes 8 or 4 bits of a dense matrix `[N, K]` of floats. */
export function compressConversion(matrix: MetaTensor, { kind, gain }: CompressOptions): Conversion {
  const params: CompressParams = {
    kind,
    dtype: matrix.dtype as CompressParams['dtype'],
    gain: gain === undefined ? null : { dtype: gain.tensor.dtype as CompressParams['dtype'], plus: gain.plus },
  };
  return {
    kind: 'conversion',
    name: matrix.name,
    shape: matrix.shape,
    codec: compress.name,
    params,
    inputs: { matrix, ...(gain && { gain: gain.tensor }) },
    output: { format: COMPRESSED[kind], ...(kind === 'nf4' && { constants: NF4 }) },
  };
}

/** Reads some rows at a time, so that reads are large whatever the width. */
const READ_BYTES = 1 << 20;

export const compress: Codec = {
  name: 'compress',

  rowStep: () => 1,

  convertRows({ params, shape, from, to, read, out, measure }) {
    const { kind, dtype, gain } = params as CompressParams;
    const columns = shape.at(-1)!;
    const rowBytes = (columns * dtypeBits(dtype as DType)) / 8;
    const importance =
      gain && squared(floats(gain.dtype, read('gain', 0, (columns * dtypeBits(gain.dtype)) / 8)), gain.plus);
    const quantiser = new RowQuantiser(kind, columns, importance);
    const blocks = Math.ceil(columns / BLOCK);
    const rowsAtOnce = Math.max(1, Math.floor(READ_BYTES / rowBytes));
    for (let row = from; row < to; row += rowsAtOnce) {
      const rows = Math.min(rowsAtOnce, to - row);
      const weights = floats(dtype, read('matrix', row * rowBytes, rows * rowBytes));
      for (let r = 0; r < rows; r++) {
        const at = row - from + r;
        const place: RowsOut = {
          codes: out.codes?.subarray((at * columns) / quantiser.codesPerByte),
          scales: out.scales?.subarray(2 * at * blocks),
          zeros: out.zeros?.subarray(at * blocks),
        };
        quantiser.row(weights.subarray(r * columns, (r + 1) * columns), place, () => `row ${row + r}`);
      }
    }
    measure?.(quantiser.squaredError, quantiser.squaredNorm);
  },
};

/** Relative: only ratios within a block matter. */
function squared(gains: Float32Array, plus: number): Float32Array {
  return gains.map((gain) => (gain + plus) ** 2);
}
