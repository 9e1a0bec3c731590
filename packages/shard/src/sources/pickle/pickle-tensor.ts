import { type DType, type Extent, elementCount, MetaTensor, tensorBytes } from '@airllm/loader';

/**
 * A tensor of a PyTorch checkpoint: a {@link MetaTensor} whose extent lies in the .bin file itself where its elements
 * lie in order there, else a view that has to be gathered.
 */
export type PickleTensor = MetaTensor | StridedTensor;

/** A tensor whose elements lie apart or in another order (a transposed matrix, a slice of columns). */
export interface StridedTensor {
  readonly kind: 'strided';
  readonly name: string;
  readonly dtype: DType;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  /** Elements from one index to the next, per dimension; 0 where all of them are the same element. */
  readonly strides: readonly number[];
  /** From the first element's first byte to behind the last byte that any index reaches. */
  readonly storage: Extent;
  /** Bytes once its elements lie in order. */
  readonly byteLength: number;
  readonly elementCount: number;
}

/** Whether a tensor's elements lie apart, and have to be gathered. */
export function isStridedTensor(tensor: PickleTensor): tensor is StridedTensor {
  return !MetaTensor.isInstance(tensor);
}

export interface TensorView {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
  readonly file: string;
  /** Of the first element, in bytes from the start of the file. */
  readonly offset: number;
}

/** Throws nothing for views that were checked against their storage. */
export function pickleTensor(view: TensorView): PickleTensor {
  const { name, dtype, shape, strides, file, offset } = view;
  const byteLength = tensorBytes(dtype, shape);
  if (isContiguous(shape, strides)) {
    return new MetaTensor({ name, dtype, shape, extent: { file, offset, length: byteLength } });
  }
  const elements = elementCount(shape);
  const reach = shape.reduce((sum, dimension, i) => sum + (dimension - 1) * strides[i]!, 1);
  const length = reach * (byteLength / elements);
  return {
    kind: 'strided',
    name,
    dtype,
    shape,
    strides,
    storage: { file, offset, length },
    byteLength,
    elementCount: elements,
  };
}

/** A dimension of 1 has no neighbour, so its stride means nothing; without elements none does. */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}
