import type { PackedTensor } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { QuantFormat, RawCheckpoint, SourceTensor } from '../source';
import { resolveFp8 } from './fp8-matrices';
import { ConstantPool, scaledE4M3 } from './shared/constants';
import { float4Matrix } from './shared/float4';
import { checkDType, companion, smallNumbers, unsupported } from './shared/tensors';

/** Weights that share a scale in NVFP4. */
const GROUP = 16;
const WEIGHT = '.weight';
const SECOND_SCALE = '.weight_scale_2';

/** `quant_algo` values whose weights are NVFP4 or FP8, whatever becomes of activations. */
const SUPPORTED: readonly unknown[] = [
  'NVFP4',
  'W4A16_NVFP4',
  'NVFP4_AWQ',
  'FP8',
  'FP8_PER_CHANNEL_PER_TOKEN',
  'FP8_PB_WO',
  'MIXED_PRECISION',
];

/**
 * NVIDIA's ModelOpt, in place: NVFP4 as w = E2M1[code] · (E4M3 scale · `weight_scale_2`), and FP8. Old uploads tell of it
 * in hf_quant_config.json alone, or not at all: then the second scale does.
 */
export const modelopt: QuantFormat = {
  name: 'modelopt',

  detect(raw) {
    const method = raw.quantisation?.quant_method;
    if (typeof method === 'string') return method.startsWith('modelopt');
    const producer = raw.quantisation?.producer as { name?: unknown } | null | undefined;
    if (producer?.name === 'modelopt') return true;
    return [...raw.tensors.keys()].some((name) => name.endsWith(SECOND_SCALE));
  },

  async resolve(raw) {
    checkAlgorithm(raw, await algorithmOf(raw));
    const pool = new ConstantPool();
    const tensors = new Map<string, SourceTensor>();
    const used = new Set<string>();
    for (const { name } of raw.tensors.values()) {
      if (name.endsWith(SECOND_SCALE)) companion(raw, raw.tensors.get(name)!, weightOf(name));
    }
    const weights = [...raw.tensors.values()].filter(({ name, dtype }) => dtype === 'U8' && name.endsWith(WEIGHT));
    for (const { matrix, parts } of await Promise.all(weights.map((weight) => nvfp4(raw, weight, pool)))) {
      tensors.set(matrix.name, matrix);
      for (const part of parts) used.add(part);
    }
    const others = resolveFp8(raw, undefined, used);
    return { tensors: new Map([...tensors, ...others.tensors]), used: new Set([...used, ...others.used]) };
  },
};

async function nvfp4(
  raw: RawCheckpoint,
  weight: MetaTensor,
  pool: ConstantPool,
): Promise<{ matrix: PackedTensor; parts: readonly string[] }> {
  const { name } = weight;
  const module = name.slice(0, -WEIGHT.length);
  const factor = companion(raw, weight, module + SECOND_SCALE);
  const scales = companion(raw, weight, `${module}.weight_scale`);
  if (weight.shape.length === 3) {
    unsupported(raw, `${name} holds a stack of NVFP4 matrices; use an upload with one weight per expert`);
  }
  checkDType(scales, ['F8_E4M3']);
  const [times] = await smallNumbers(raw, factor, 1);
  const table8 = scaledE4M3((number) => number * times!);
  const matrix = float4Matrix(name, { codes: weight, scales, group: GROUP, table8 }, pool);
  return { matrix, parts: [name, scales.name, factor.name] };
}

function weightOf(secondScale: string): string {
  return secondScale.slice(0, -SECOND_SCALE.length) + WEIGHT;
}

/** `quant_algo` of the config, or of the file that old uploads have beside it. */
async function algorithmOf(raw: RawCheckpoint): Promise<unknown> {
  const own = raw.quantisation?.quant_algo;
  if (own !== undefined) return own;
  for (const config of [raw.quantisation, await raw.readJson('hf_quant_config.json')]) {
    const inner = config?.quantization;
    if (typeof inner === 'object' && inner !== null) return (inner as { quant_algo?: unknown }).quant_algo;
  }
  return undefined;
}

function checkAlgorithm(raw: RawCheckpoint, algorithm: unknown): void {
  if (algorithm !== undefined && algorithm !== null && !SUPPORTED.includes(algorithm)) {
    unsupported(
      raw,
      `its quant_algo is ${JSON.stringify(algorithm)}; of ModelOpt, ${SUPPORTED.join(', ')} are supported: ` +
        'use an upload in one of these, or the original model with compression by `airllm shard`',
    );
  }
  for (const name of raw.tensors.keys()) {
    if (name.endsWith('.pre_quant_scale')) {
      unsupported(raw, `${name} scales activations before a matrix (NVFP4_AWQ); use an upload in NVFP4 without AWQ`);
    }
  }
}
