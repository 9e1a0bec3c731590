import { type DType, dtypeBits, elementCount, MetaTensor } from '@airllm/loader';
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
    // For a codec a tensor of one dimension is one row; gathering counts its elements.
    const rows = shape.length > 1 ? { start: from, end: to } : { start: 0, end: shape[0]! };
    for (const { extent, scatter } of stridedReads(viewOf(shape, params as StridedParams), rows)) {
      scatter(read('storage', extent.offset, extent.length), out.dense);
    }
  },
};

/** The tensor as it lies in its input, whose first byte is its first element's. */
function viewOf(shape: readonly number[], { dtype, strides }: StridedParams): StridedTensor {
  const width = dtypeBits(dtype) / 8;
  const elements = elementCount(shape);
  const reach = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 1);
  return {
    kind: 'strided',
    name: '',
    dtype,
    shape,
    strides,
    storage: { file: '', offset: 0, length: reach * width },
    byteLength: elements * width,
    elementCount: elements,
  };
}
