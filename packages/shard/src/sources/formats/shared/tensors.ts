import { join } from 'node:path';
import { floats, GraphError, PackedTensor, type PackedTensorFields } from '@airllm/kernels';
import { type DType, FormatError, MetaTensor, UnsupportedCheckpointError } from '@airllm/loader';
import type { RawCheckpoint } from '../../source';

/** Throws a `FormatError` that names a tensor and its file. */
export function malformed(tensor: MetaTensor, reason: string, cause?: unknown): never {
  throw new FormatError({ file: tensor.extent?.file ?? '(memory)', tensor: tensor.name, reason, cause });
}

/** Throws a `FormatError` that names the configuration, for keys that make no sense. */
export function badConfig(raw: Pick<RawCheckpoint, 'dir'>, reason: string): never {
  throw new FormatError({ file: join(raw.dir, 'config.json'), reason });
}

/** Throws an `UnsupportedCheckpointError`: a layout that is known by name, but not implemented. */
export function unsupported(raw: Pick<RawCheckpoint, 'dir'>, reason: string): never {
  throw new UnsupportedCheckpointError({ dir: raw.dir, found: [], reason });
}

/** The tensor `name`, which `owner` makes no sense without. */
export function companion(raw: Pick<RawCheckpoint, 'tensors'>, owner: MetaTensor, name: string): MetaTensor {
  return raw.tensors.get(name) ?? malformed(owner, `it needs the tensor ${JSON.stringify(name)}, which is missing`);
}

export function checkDType(tensor: MetaTensor, expected: readonly DType[]): void {
  if (!expected.includes(tensor.dtype))
    malformed(tensor, `its dtype is ${tensor.dtype}, expected ${expected.join(' or ')}`);
}

export function checkShape(tensor: MetaTensor, expected: readonly number[]): void {
  const { shape } = tensor;
  if (shape.length === expected.length && shape.every((size, i) => size === expected[i])) return;
  malformed(tensor, `its shape is [${shape.join(', ')}], expected [${expected.join(', ')}]`);
}

/** Elements, whatever the shape: publishers write `[N]`, `[N, 1]` and `[1]`, `[]` for the same. */
export function checkCount(tensor: MetaTensor, expected: number): void {
  if (tensor.elementCount !== expected)
    malformed(tensor, `it has ${tensor.elementCount} elements, expected ${expected}`);
}

export interface TensorView {
  readonly name?: string;
  readonly dtype?: DType;
  readonly shape: readonly number[];
  /** Bytes from the start of the tensor (default 0). */
  readonly from?: number;
}

/** The same bytes under another name, dtype or shape, or a range of them. */
export function viewed(tensor: MetaTensor, view: TensorView): MetaTensor {
  const { name = tensor.name, dtype = tensor.dtype, shape, from = 0 } = view;
  const { byteLength } = new MetaTensor({ name, dtype, shape });
  if (from + byteLength > tensor.byteLength) {
    malformed(tensor, `it has ${tensor.byteLength} bytes, expected ${from + byteLength}`);
  }
  const { extent, literal } = tensor;
  return new MetaTensor({
    name,
    dtype,
    shape,
    extent: extent && { file: extent.file, offset: extent.offset + from, length: byteLength },
    literal: literal?.subarray(from, from + byteLength),
  });
}

/** A packed matrix; where its components do not fit, the error names the tensor and its file. */
export function packed(owner: MetaTensor, fields: PackedTensorFields): PackedTensor {
  try {
    return new PackedTensor(fields);
  } catch (error) {
    if (GraphError.isInstance(error)) malformed(owner, error.message, error);
    throw error;
  }
}

/** The float32 numbers of a small tensor (F32, F16 or BF16), all of which must be finite. */
export async function smallNumbers(raw: RawCheckpoint, tensor: MetaTensor, count: number): Promise<Float32Array> {
  checkDType(tensor, ['F32', 'F16', 'BF16']);
  checkCount(tensor, count);
  const numbers = floats(tensor.dtype, await raw.read(tensor));
  const odd = numbers.findIndex((number) => !Number.isFinite(number));
  if (odd >= 0) malformed(tensor, `element ${odd} is ${numbers[odd]}, which no scale or table can hold`);
  return numbers;
}
