import { OptionError } from './errors';

/** Element types under the names that safetensors (0.8) gives them. */
export type DType =
  | 'BOOL'
  | 'F4'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'U8'
  | 'I8'
  | 'F8_E5M2'
  | 'F8_E4M3'
  | 'F8_E8M0'
  | 'F8_E5M2FNUZ'
  | 'F8_E4M3FNUZ'
  | 'I16'
  | 'U16'
  | 'F16'
  | 'BF16'
  | 'I32'
  | 'U32'
  | 'F32'
  | 'I64'
  | 'U64'
  | 'F64'
  | 'C64';

const BITS: ReadonlyMap<string, number> = new Map<DType, number>([
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E5M2FNUZ', 8],
  ['F8_E4M3FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['I64', 64],
  ['U64', 64],
  ['F64', 64],
  ['C64', 64],
]);

/** Every element type the format knows. */
export const DTYPES: readonly DType[] = [...BITS.keys()] as DType[];

/** Whether a name is that of a dtype of safetensors. */
export function isDType(name: unknown): name is DType {
  return typeof name === 'string' && BITS.has(name);
}

/** Bits of one element; below 8 for packed types. */
export function dtypeBits(dtype: DType): number {
  const bits = BITS.get(dtype);
  if (bits === undefined) throw new OptionError({ option: 'dtype', expected: DTYPES.join(', '), found: dtype });
  return bits;
}

/** Elements of a shape; 1 for a scalar (`[]`). Throws `OptionError` if a dimension is not a whole number ≥ 0. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw new OptionError({ option: 'shape', expected: 'whole numbers of at least 0', found: `[${shape}]` });
    }
    count *= dimension;
    if (count > Number.MAX_SAFE_INTEGER) {
      throw new OptionError({ option: 'shape', expected: 'at most 2^53 elements', found: `[${shape}]` });
    }
  }
  return count;
}

/** Bytes a tensor occupies. Throws `OptionError` if packed elements do not fill whole bytes. */
export function tensorBytes(dtype: DType, shape: readonly number[]): number {
  const elements = elementCount(shape);
  const width = dtypeBits(dtype);
  const bytes = width % 8 === 0 ? elements * (width / 8) : (elements * width) / 8;
  if (!Number.isSafeInteger(bytes)) {
    throw new OptionError({ option: 'shape', expected: `whole bytes (${width}-bit elements)`, found: `[${shape}]` });
  }
  return bytes;
}
