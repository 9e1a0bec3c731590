import { type DType, dtypeBits, MetaTensor } from '@airllm/loader';
import type { StridedTensor } from '../pickle/pickle-tensor';
import { stridedReads } from '../pickle/read-strided';
import type { Codec, Conversion } from '../source';

interface StridedParams {
  readonly dtype: DType;
  readonly strides: readonly number[];
}

/** What brings a tensor of a pickle into row-major order that is a view of another order. */
export function stridedConversion({ name, dtype, shape, strides, storage }: StridedTensor): Conversion {
  const params: StridedParams = { dtype, strides };
  const input = new MetaTensor({
    name: `${name} (its storage)`,
    dtype: 'U8',
    shape: [storage.length],
    extent: storage,
  });
  return {
    kind: 'conversion',
    name,
    shape,
    codec: strided.name,
    params,
    inputs: { storage: input },
    output: { dtype },
  };
}

export const strided: Codec = {
  name: 'strided',
  rowStep: () => 1,
  convertRows: ({ params, shape, from, to, read, out }) => {
    if (out.dense === undefined) return;
    const { dtype, strides } = params as StridedParams;
    let written = 0;
    for (const piece of rowsOf({ dtype, shape, strides, offset: 0 }, from, to)) {
      const bytes = (dtypeBits(dtype) / 8) * piece.shape.reduce((product, size) => product * size, 1);
      const target = out.dense.subarray(written, written + bytes);
      written += bytes;
      for (const { extent, scatter } of stridedReads(piece.tensor, { start: 0, end: piece.shape[0]! })) {
        scatter(read('storage', extent.offset, extent.length), target);
      }
    }
  },
};

interface View {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
  /** Of the first element, in elements. */
  readonly offset: number;
}

interface Piece {
  readonly shape: readonly number[];
  readonly tensor: StridedTensor;
}

/** Rows (last dimensions) of a view, as views of at most two dimensions. */
function* rowsOf(view: View, from: number, to: number): Generator<Piece> {
  const { shape, strides, offset } = view;
  if (shape.length <= 2) {
    yield shape.length === 2
      ? pieceOf({ ...view, shape: [to - from, shape[1]!], offset: offset + from * strides[0]! })
      : pieceOf({ ...view, shape: [shape[0] ?? 1], strides: [strides[0] ?? 1] });
    return;
  }
  const below = shape.slice(1, -1).reduce((product, size) => product * size, 1);
  for (let first = Math.floor(from / below); first * below < to; first++) {
    const inner = { ...view, shape: shape.slice(1), strides: strides.slice(1), offset: offset + first * strides[0]! };
    yield* rowsOf(inner, Math.max(0, from - first * below), Math.min(below, to - first * below));
  }
}

function pieceOf({ dtype, shape, strides, offset }: View): Piece {
  const width = dtypeBits(dtype) / 8;
  const elementCount = shape.reduce((product, size) => product * size, 1);
  const reach = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 1);
  const storage = { file: '', offset: offset * width, length: reach * width };
  const byteLength = elementCount * width;
  return { shape, tensor: { kind: 'strided', name: '', dtype, shape, strides, storage, byteLength, elementCount } };
}
