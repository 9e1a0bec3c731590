import type { MetaTensor } from '@airllm/loader';
import type { QuantFormat, RawCheckpoint, ResolvedTensors, SourceTensor } from '../source';
import { packedFloats, plainFloats } from './compressed-tensors-floats';
import { type Module, packedIntegers, plainIntegers } from './compressed-tensors-integers';
import { compressionConfig, readSchemes, refuseSparse } from './compressed-tensors-schemes';
import { ConstantPool } from './shared/constants';
import { companion, malformed, unsupported } from './shared/tensors';

/** `quant_method`; the older name is that of the library's first home. */
const METHODS: readonly unknown[] = ['compressed-tensors', 'sparseml'];

const WEIGHT = /^(.*)\.weight(_packed)?$/;
/** What lies beside a weight: those that make no sense without it, and all. */
const OWNED = /^(.*)\.weight_(?:packed|scale|shape)$/;
const PARTS = [
  'weight_packed',
  'weight_scale',
  'weight_shape',
  'weight_zero_point',
  'weight_g_idx',
  'weight_global_scale',
];

/** Scales of activations and of the KV cache: executors compute with activations as they are. */
const NOT_NEEDED = /\.(?:input|output|[kqv])_(?:scale|zero_point|global_scale)$/;

const OTHER_FP8 = /^F8_(?:E5M2|E5M2FNUZ|E4M3FNUZ)$/;

/**
 * compressed-tensors, of llm-compressor and others: integers of 1 to 8 bits, packed or as bytes, FP8, MXFP8, NVFP4 and
 * MXFP4, each module in any of them. In place but for odd bits, zero points and act-order.
 */
export const compressedTensors: QuantFormat = {
  name: 'compressed-tensors',

  detect(raw) {
    const config = compressionConfig(raw);
    const method = config?.quant_method ?? raw.quantisation?.quant_method;
    if (method !== undefined) return METHODS.includes(method);
    if (config?.config_groups !== undefined && config.quant_algo === undefined && config.producer === undefined)
      return true;
    return [...raw.tensors.keys()].some((name) => name.endsWith('.weight_packed'));
  },

  async resolve(raw): Promise<ResolvedTensors> {
    const schemes = readSchemes(raw);
    refuseSparseTensors(raw);
    const pool = new ConstantPool();
    const found = await Promise.all(
      [...raw.tensors.values()].map((tensor) => resolveWeight(raw, tensor, { schemes, pool })),
    );
    const tensors = new Map<string, SourceTensor>();
    const used = new Set<string>();
    for (const { name, tensor } of found.flatMap((one) => one ?? [])) {
      tensors.set(`${name}.weight`, tensor);
      for (const part of ['weight', ...PARTS]) if (raw.tensors.has(`${name}.${part}`)) used.add(`${name}.${part}`);
    }
    for (const { name } of raw.tensors.values()) {
      if (NOT_NEEDED.test(name)) used.add(name);
      else if (OWNED.test(name) && !used.has(name)) explainOrphan(raw, name);
    }
    return { tensors, used };
  },
};

type Shared = Pick<Module, 'schemes' | 'pool'>;

async function resolveWeight(
  raw: RawCheckpoint,
  weight: MetaTensor,
  shared: Shared,
): Promise<{ name: string; tensor: SourceTensor } | undefined> {
  const [, name, packed] = WEIGHT.exec(weight.name) ?? [];
  if (name === undefined) return undefined;
  const module = { name, raw, ...shared };
  if (packed !== undefined) {
    const resolve = weight.dtype === 'U8' ? packedFloats : packedIntegers;
    if (!['U8', 'I32'].includes(weight.dtype)) malformed(weight, `its dtype is ${weight.dtype}, expected I32 or U8`);
    return { name, tensor: await resolve(module, weight) };
  }
  if (OTHER_FP8.test(weight.dtype)) {
    unsupported(raw, `${weight.name} is ${weight.dtype}; only F8_E4M3 is supported: use an upload in that format`);
  }
  if (weight.dtype === 'I8') return { name, tensor: await plainIntegers(module, weight) };
  if (weight.dtype === 'F8_E4M3') return { name, tensor: await plainFloats(module, weight) };
  return undefined;
}

/** Tensors that the formats of sparse weights have, and no other. */
function refuseSparseTensors(raw: RawCheckpoint): void {
  for (const name of raw.tensors.keys()) {
    if (name.endsWith('.bitmask')) refuseSparse(raw, 'sparse-24-bitmask or sparse-bitmask');
    if (name.endsWith('.scale_packed')) refuseSparse(raw, 'marlin-24');
  }
}

function explainOrphan(raw: RawCheckpoint, name: string): never {
  const part = raw.tensors.get(name)!;
  const [, module] = OWNED.exec(name)!;
  const weight = raw.tensors.get(`${module}.weight`) ?? companion(raw, part, `${module}.weight_packed`);
  const status = compressionConfig(raw)?.quantization_status;
  if (status !== undefined && status !== 'compressed' && ['F32', 'F16', 'BF16'].includes(weight.dtype)) {
    unsupported(
      raw,
      `${weight.name} is ${weight.dtype} and has scales, to be quantised at run time (quantization_status is ` +
        `${JSON.stringify(status)}); use an upload that was saved compressed`,
    );
  }
  malformed(weight, `its dtype is ${weight.dtype}, expected I8 or F8_E4M3, since ${name} lies beside it`);
}
