import type { DType } from '@airllm/loader';
import { UnsafePickleError } from './errors';
import { fault } from './pickle-fault';
import type { PickleGlobal } from './values';

/** Storage classes by the name they have in module `torch` (those of the module `torch.storage` see below). */
const STORAGES: ReadonlyMap<string, DType> = new Map([
  ['FloatStorage', 'F32'],
  ['DoubleStorage', 'F64'],
  ['HalfStorage', 'F16'],
  ['BFloat16Storage', 'BF16'],
  ['LongStorage', 'I64'],
  ['IntStorage', 'I32'],
  ['ShortStorage', 'I16'],
  ['CharStorage', 'I8'],
  ['ByteStorage', 'U8'],
  ['BoolStorage', 'BOOL'],
  ['ComplexFloatStorage', 'C64'],
  ['UntypedStorage', 'U8'],
]);

/** Types newer than the storage classes are named by `_rebuild_tensor_v3`, over an untyped storage. */
const DTYPES: ReadonlyMap<string, DType> = new Map([
  ['float32', 'F32'],
  ['float', 'F32'],
  ['float64', 'F64'],
  ['double', 'F64'],
  ['float16', 'F16'],
  ['half', 'F16'],
  ['bfloat16', 'BF16'],
  ['int64', 'I64'],
  ['long', 'I64'],
  ['int32', 'I32'],
  ['int', 'I32'],
  ['int16', 'I16'],
  ['short', 'I16'],
  ['int8', 'I8'],
  ['uint8', 'U8'],
  ['uint16', 'U16'],
  ['uint32', 'U32'],
  ['uint64', 'U64'],
  ['bool', 'BOOL'],
  ['complex64', 'C64'],
  ['cfloat', 'C64'],
  ['float8_e4m3fn', 'F8_E4M3'],
  ['float8_e4m3fnuz', 'F8_E4M3FNUZ'],
  ['float8_e5m2', 'F8_E5M2'],
  ['float8_e5m2fnuz', 'F8_E5M2FNUZ'],
  ['float8_e8m0fnu', 'F8_E8M0'],
]);

/** Of PyTorch, and harmless, but no weights a safetensors file could hold: a message of their own. */
const OTHER_TYPES =
  /^(?:ComplexDoubleStorage|Q(?:UInt8|Int8|Int32|UInt4x2|UInt2x4)Storage|complex(?:32|128)|chalf|cdouble|q(?:u?int8|int32|uint4x2|uint2x4)|float4_e2m1fn_x2|u?int[1-7]|bits(?:8|16|1x8|2x4|4x2))$/;

const DEQUANTIZE = 'convert the model to plain tensors with PyTorch, and save them as safetensors';

const FUNCTIONS = ['_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_parameter'] as const;

/**
 * The allow-list, as PyTorch's `weights_only` keeps one, but only what a state dict of plain tensors needs. Compared as
 * whole names: a dotted name (`torch._utils` + `os.system`) is simply not on it.
 * Throws `UnsafePickleError` for any other name.
 */
export function torchGlobal(file: string, module: string, name: string): PickleGlobal {
  const full = `${module}.${name}`;
  if (module === 'collections' && name === 'OrderedDict') return { kind: 'global', name: full, is: name };
  const rebuild = module === 'torch._utils' ? FUNCTIONS.find((known) => known === name) : undefined;
  if (rebuild !== undefined) return { kind: 'global', name: full, is: rebuild };
  if (module === 'torch' || full === 'torch.storage.UntypedStorage') {
    const storage = STORAGES.get(name);
    if (storage !== undefined) return { kind: 'global', name: full, is: 'storage', dtype: storage };
    const dtype = DTYPES.get(name);
    if (dtype !== undefined) return { kind: 'global', name: full, is: 'dtype', dtype };
    if (OTHER_TYPES.test(name)) {
      return fault(`elements of type ${full}, which safetensors does not hold`, DEQUANTIZE);
    }
  }
  throw new UnsafePickleError({ file, module, name });
}
