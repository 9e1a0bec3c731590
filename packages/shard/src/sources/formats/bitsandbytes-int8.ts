import { componentShape, type PackedFormat, type PackedTensor } from '@airllm/kernels';
import { MetaTensor } from '@airllm/loader';
import type { RawCheckpoint } from '../source';
import { matrixShape } from './shared/scaled';
import { checkCount, checkDType, companion, malformed, packed, unsupported, viewed } from './shared/tensors';

/** `weight_format` of the layouts that old CUDA kernels shuffled weights into. */
const SHUFFLED = ['row', 'col32', 'col_turing', 'col_ampere'];

/** The factor of every scale; in float32 it is off by 4e-9 of itself. */
const FACTOR = new Uint8Array(Float32Array.of(1 / 127).buffer);

/** More blocks than any matrix has: one factor for all of them, in the same format whatever their number is. */
const ALL = 2 ** 30;

/**
 * LLM.int8(): w = code · SCB / 127, one SCB per row; in place, as code · (SCB · 1/127). (The library itself quantises
 * activations too, which is its own rounding and not the weights'.)
 */
export async function resolveInt8(raw: RawCheckpoint, weight: MetaTensor): Promise<PackedTensor> {
  const { name } = weight;
  const module = name.slice(0, -'weight'.length);
  const statistics = companion(raw, weight, `${module}SCB`);
  const shape = matrixShape(weight);
  checkDType(weight, ['I8']);
  checkDType(statistics, ['F32', 'F16', 'BF16']);
  checkCount(statistics, shape[0]);
  await checkLayout(raw, raw.tensors.get(`${module}weight_format`));
  const format = int8Format(shape[1], statistics.dtype as 'F32' | 'F16' | 'BF16');
  const scales = viewed(statistics, { shape: componentShape(format, shape, 'scales') });
  return packed(weight, { name, shape, format, components: { codes: weight, scales, supers: int8Factor(name) } });
}

/** How LLM.int8() is computed with. */
export function int8Format(columns: number, dtype: 'F32' | 'F16' | 'BF16'): PackedFormat {
  return { code: 'i8', block: { rows: 1, columns }, scale: { dtype, supers: { dtype: 'F32', every: ALL } } };
}

/** 1/127, which no file holds. */
export function int8Factor(weight: string): MetaTensor {
  return new MetaTensor({ name: `${weight}.supers`, dtype: 'F32', shape: [1], literal: FACTOR });
}

async function checkLayout(raw: RawCheckpoint, marker: MetaTensor | undefined): Promise<void> {
  if (marker === undefined) return;
  checkDType(marker, ['U8']);
  checkCount(marker, 1);
  const layout = (await raw.read(marker))[0]!;
  if (layout === 0) return;
  const known = SHUFFLED[layout] ?? malformed(marker, `it is ${layout}, expected 0 (row) to ${SHUFFLED.length - 1}`);
  unsupported(
    raw,
    `${marker.name} says ${known}, a layout of old CUDA kernels; save it again with bitsandbytes ≥ 0.45`,
  );
}
