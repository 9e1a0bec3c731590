import type { MetaTensor } from '@airllm/loader';
import type { RawCheckpoint, SourceTensor } from '../source';
import type { Module } from './compressed-tensors-integers';
import { actOrder } from './compressed-tensors-order';
import { blockOf, scaleNumbers } from './compressed-tensors-scales';
import { float4Matrix } from './shared/float4';
import { matrixShape, scaledBytes } from './shared/scaled';
import { companion, malformed, smallNumbers, unsupported } from './shared/tensors';

/** NVFP4's scales are FP8, MXFP4's powers of two. */
const NVFP4_GROUP = 16;
const MXFP4_GROUP = 32;

/** Zero points are read, to see that they are all zero, up to so many bytes. */
const MOST_ZEROS = 2 ** 20;

/** `weight_packed` U8 `[N, K / 2]`: E2M1 · scale, NVFP4's divided by `weight_global_scale`; in place. */
export async function packedFloats(module: Module, weight: MetaTensor): Promise<SourceTensor> {
  const { name, raw, pool } = module;
  refuseStack(raw, weight);
  const scales = companion(raw, weight, `${name}.weight_scale`);
  const [rows, bytes] = matrixShape(weight);
  if (scales.shape.length === 2 && scales.shape[0] === rows && 24 * scales.shape[1]! === bytes) {
    unsupported(raw, `${weight.name} holds 6-bit floats (mxfp6); use an upload in mxfp4, mxfp8 or nvfp4`);
  }
  const isNvfp4 = scales.dtype === 'F8_E4M3';
  const global = isNvfp4 ? companion(raw, weight, `${name}.weight_global_scale`) : undefined;
  const divisor = global && (await smallNumbers(raw, global, 1))[0]!;
  if (divisor === 0) malformed(global!, 'it is 0, and scales are divided by it');
  const { table8 } = scaleNumbers(scales, divisor);
  if (table8 === undefined) malformed(scales, `its dtype is ${scales.dtype}, expected F8_E4M3 or powers of two in U8`);
  const group = isNvfp4 ? NVFP4_GROUP : MXFP4_GROUP;
  const matrix = float4Matrix(`${name}.weight`, { codes: weight, scales, group, table8: table8! }, pool);
  await refuseOrder(module, matrix.shape[1]!, group);
  return matrix;
}

/** `weight` F8_E4M3 `[N, K]` with one scale for all, for a row, for a group in it, or for a block; in place. */
export async function plainFloats(module: Module, weight: MetaTensor): Promise<SourceTensor> {
  const { name, raw, schemes, pool } = module;
  refuseStack(raw, weight);
  const scales = companion(raw, weight, `${name}.weight_scale`);
  const shape = matrixShape(weight);
  const block = blockOf(shape, scales, schemes);
  await refuseZeros(raw, raw.tensors.get(`${name}.weight_zero_point`));
  await refuseOrder(module, shape[1], block[1]);
  if (scales.dtype !== 'F8_E4M3') return scaledBytes(`${name}.weight`, weight, scales, block, pool);
  return malformed(scales, 'its dtype is F8_E4M3, expected floats or powers of two');
}

function refuseStack(raw: RawCheckpoint, { name, shape }: MetaTensor): void {
  if (shape.length === 3)
    unsupported(raw, `${name} holds a stack of matrices; use an upload with one weight per expert`);
}

/** Old releases stored zero points for floats, too: zeros. */
async function refuseZeros(raw: RawCheckpoint, zeros: MetaTensor | undefined): Promise<void> {
  if (zeros === undefined || zeros.byteLength > MOST_ZEROS) return;
  // Of a float, −0 is zero as well.
  if ((await raw.read(zeros)).some((byte) => (byte & 0x7f) !== 0)) malformed(zeros, 'floats have no zero points but 0');
}

async function refuseOrder({ name, raw }: Module, columns: number, size: number): Promise<void> {
  const groups = Math.ceil(columns / size);
  const order = await actOrder(raw, raw.tensors.get(`${name}.weight_g_idx`), { columns, groups, size });
  if (order.kind !== 'in order') unsupported(raw, `${name} has floats in act-order; use an upload without actorder`);
}
