import { E2M1, type PackedFormat, type PackedTensor } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { ConstantPool } from './constants';
import { matrixShape } from './scaled';
import { checkDType, checkShape, packed, viewed } from './tensors';

/** FP4 of the OCP microscaling formats (E2M1): two to a byte, low nibble first, one byte of scale per `group` weights. */
export function float4Format(group: number): PackedFormat {
  return { code: 'table4', nibbles: 'low', block: { rows: 1, columns: group }, scale: { dtype: 'U8' } };
}

export interface Float4Parts {
  /** U8 `[N, K / 2]`. */
  readonly codes: MetaTensor;
  /** One byte each, `[N, K / group]`. */
  readonly scales: MetaTensor;
  readonly group: number;
  /** What each byte of scale means: E8M0 (MXFP4), or E4M3 times the tensor's factor (NVFP4). */
  readonly table8: Float32Array;
}

/** w = E2M1[code] · scale, in place. */
export function float4Matrix(name: string, parts: Float4Parts, pool: ConstantPool): PackedTensor {
  const { codes, scales, group, table8 } = parts;
  checkDType(codes, ['U8']);
  const [rows, bytes] = matrixShape(codes);
  const shape = [rows, 2 * bytes];
  checkShape(scales, [rows, Math.ceil((2 * bytes) / group)]);
  const format = float4Format(group);
  return packed(codes, {
    name,
    shape,
    format,
    components: {
      codes,
      scales: viewed(scales, { dtype: 'U8', shape: scales.shape }),
      constants: pool.tensor(`${name}.constants`, format, { table4: E2M1, table8 }),
    },
  });
}
