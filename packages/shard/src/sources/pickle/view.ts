import { type DType, dtypeBits } from '@airllm/loader';
import { fault } from './pickle-fault';
import { describe, isKind, type PickleStorage, type PickleValue, type PickleView } from './values';

/** As in safetensors files here; NumPy and PyTorch stop there too. */
const MAX_DIMENSIONS = 64;
/** A view that repeats its storage (`expand`) is larger than what is stored: buffers are, weights are not. */
const MAX_REPEATED_BYTES = 64 * 2 ** 20;

/**
 * The tensor that `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])`
 * would make; `_v3` names the dtype before the metadata. Every element it can reach lies in its storage.
 * Throws `PickleFault`.
 */
export function tensorView(
  rebuild: '_rebuild_tensor_v2' | '_rebuild_tensor_v3',
  args: readonly PickleValue[],
): PickleView {
  const v3 = rebuild === '_rebuild_tensor_v3';
  const least = v3 ? 7 : 6;
  if (args.length < least || args.length > least + 1)
    fault(`${rebuild} takes ${least} arguments, found ${args.length}`);
  const [storage, offset, size, stride] = args;
  if (!isKind(storage, 'storage')) return fault(`a tensor over ${describe(storage ?? null)} in place of a storage`);
  refuseMathBits(args[least]);
  const dtype = v3 ? namedType(args[6]) : storage.dtype;
  const shape = integers(size, 'the size');
  const strides = integers(stride, 'the stride');
  if (shape.length !== strides.length) fault(`a tensor of ${shape.length} sizes and ${strides.length} strides`);
  return checkedView(storage, dtype, integer(offset, 'the offset'), shape, strides);
}

/** In big integers: a product of 64-bit numbers leaves what a double holds. */
function checkedView(
  storage: PickleStorage,
  dtype: DType,
  offset: bigint,
  shape: readonly bigint[],
  strides: readonly bigint[],
): PickleView {
  const width = BigInt(dtypeBits(dtype) / 8);
  const stored = BigInt(storage.end - storage.begin);
  const where = `offset ${offset}, size [${shape}], stride [${strides}]`;
  if ([offset, ...shape, ...strides].some((each) => each < 0n)) fault(`a view with a negative number: ${where}`);
  const elements = shape.reduce((product, dimension) => product * dimension, 1n);
  const reach = shape.reduce((sum, dimension, i) => sum + (dimension - 1n) * strides[i]!, offset + 1n);
  const end = (elements === 0n ? offset : reach) * width;
  if (end > stored) fault(`a view reaches byte ${end} of a storage of ${stored}: ${where}`);
  // Zero elements too: a product beyond 2^53 before the 0 is refused by whoever computes it in doubles.
  const product = shape.reduce((partial, dimension) => (dimension === 0n ? partial : partial * dimension), width);
  if (product > BigInt(Number.MAX_SAFE_INTEGER) / 8n) fault(`a view of too many elements: ${where}`);
  if (elements * width > stored && elements * width > BigInt(MAX_REPEATED_BYTES)) {
    fault(`a view of ${elements * width} bytes over a storage of ${stored}: ${where}`);
  }
  // What is left may be a stride or size that nothing is reached by (a dimension of 1, or 0 elements).
  const plain = (value: bigint) => {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : fault(`a view with numbers beyond 2^53: ${where}`);
  };
  return {
    kind: 'view',
    storage,
    dtype,
    offset: plain(offset),
    shape: shape.map(plain),
    strides: strides.map((stride, i) => (shape[i]! > 1n && elements > 0n ? plain(stride) : 0)),
  };
}

function namedType(value: PickleValue | undefined): DType {
  if (isKind(value, 'global') && value.is === 'dtype') return value.dtype;
  return fault(`a tensor of the type ${describe(value ?? null)}`);
}

/** Lazily conjugated or negated tensors store other values than they mean. */
function refuseMathBits(metadata: PickleValue | undefined): void {
  if (metadata === undefined || metadata === null) return;
  if (!isKind(metadata, 'dict')) fault(`a tensor with ${describe(metadata)} as metadata`);
  for (const [name, value] of metadata.entries ?? []) {
    if (value !== false && value !== null) fault(`a tensor with the bit ${JSON.stringify(String(name).slice(0, 40))}`);
  }
}

function integers(value: PickleValue | undefined, what: string): bigint[] {
  if (!isKind(value, 'tuple')) return fault(`${what} of a tensor is ${describe(value ?? null)}`);
  if (value.items.length > MAX_DIMENSIONS) {
    fault(`${value.items.length} dimensions; at most ${MAX_DIMENSIONS} are accepted`);
  }
  return value.items.map((item) => integer(item, what));
}

function integer(value: PickleValue | undefined, what: string): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  return fault(`${what} of a tensor holds ${describe(value ?? null)}`);
}
