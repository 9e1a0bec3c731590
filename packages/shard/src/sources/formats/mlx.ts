import { E4M3, E8M0, type PackedFormat } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { MlxParams } from '../codecs/mlx';
import type { QuantFormat, RawCheckpoint, ResolvedTensors, SourceTensor } from '../source';
import { joinGatesAndUps } from './mlx-gpt-oss';
import { expertModule, isSwitch } from './mlx-names';
import { affinePacking } from './mlx-packing';
import { ConstantPool, scaledE4M3 } from './shared/constants';
import { float4Matrix } from './shared/float4';
import { scaledBytes } from './shared/scaled';
import {
  checkDType,
  checkShape,
  companion,
  malformed,
  packed,
  smallNumbers,
  unsupported,
  viewed,
} from './shared/tensors';

const WEIGHT = '.weight';
const SCALES = '.scales';

/** More experts than any model has: a header may claim as many as its file has bytes. */
const MOST_EXPERTS = 4096;

/** The largest known models have 70,000 (384 experts in 61 layers). */
const MOST_MATRICES = 100_000;

/** Codes and scales are as in FP4 and FP8, and how many weights share a scale tells which it is. */
const FLOAT_MODES: Readonly<Record<number, { mode: 'nvfp4' | 'mxfp4' | 'mxfp8'; group: number }>> = {
  [4 * 16]: { mode: 'nvfp4', group: 16 },
  [4 * 32]: { mode: 'mxfp4', group: 32 },
  [8 * 32]: { mode: 'mxfp8', group: 32 },
};

/** MLX's `global_scale` is the largest weight: 6 (of E2M1) · 448 (of E4M3) times a unit of scale. */
const NVFP4_LARGEST = 6 * 448;

/**
 * MLX: codes in U32 words, low bits first, with `scales` and `biases` (w = code · scale + bias), or with one byte of scale
 * for FP4 and FP8 codes. 4 and 8 bits run in place; 2 and 3 are rewritten in 4, 5 and 6 in 8. Embeddings and heads are
 * quantised too; experts are stacked, and get the names of transformers.
 */
export const mlx: QuantFormat = {
  name: 'mlx',

  detect(raw) {
    return [...raw.tensors.values()].some(
      ({ name, dtype }) => name.endsWith(WEIGHT) && (dtype === 'U32' || isSwitch(name.slice(0, -WEIGHT.length))),
    );
  },

  async resolve(raw): Promise<ResolvedTensors> {
    const tensors = new Map<string, SourceTensor>();
    const used = new Set<string>();
    const pool = new ConstantPool();
    const add = (tensor: SourceTensor, owner: MetaTensor) => {
      tensors.set(tensor.name, tensor);
      if (tensors.size > MOST_MATRICES) malformed(owner, `with it the model has more than ${MOST_MATRICES} tensors`);
    };
    const weights = [...raw.tensors.values()].filter(({ name, dtype }) => dtype === 'U32' && name.endsWith(WEIGHT));
    const modules = await Promise.all(weights.map((weight) => partsOf(raw, weight)));
    for (const module of modules) {
      for (const tensor of [module.weight, module.scales, module.biases, module.global]) {
        if (tensor !== undefined) used.add(tensor.name);
      }
      for (const matrix of matricesOf(raw, module)) {
        const tensor = resolveMatrix(raw, matrix, module.name, pool);
        add(tensor, module.weight);
      }
    }
    for (const tensor of raw.tensors.values()) {
      if (used.has(tensor.name)) continue;
      for (const dense of denseExperts(raw, tensor)) {
        add(dense, tensor);
        used.add(tensor.name);
      }
      checkOrphan(raw, tensor);
    }
    joinGatesAndUps(raw, tensors);
    return { tensors, used };
  },
};

interface Module {
  readonly name: string;
  readonly weight: MetaTensor;
  readonly scales: MetaTensor;
  readonly biases: MetaTensor | undefined;
  readonly global: MetaTensor | undefined;
  /** Numbers of `global`, one for each matrix. */
  readonly globals: Float32Array | undefined;
}

async function partsOf(raw: RawCheckpoint, weight: MetaTensor): Promise<Module> {
  const name = weight.name.slice(0, -WEIGHT.length);
  const scales = companion(raw, weight, name + SCALES);
  const biases = raw.tensors.get(`${name}.biases`);
  const global = raw.tensors.get(`${name}.global_scale`);
  const count = weight.shape.length === 3 ? weight.shape[0]! : 1;
  if (global !== undefined && count > MOST_EXPERTS) stackOf(raw, weight, name);
  const globals = global && (await smallNumbers(raw, global, count));
  return { name, weight, scales, biases, global, globals };
}

/** One matrix of a module: its own tensors, or ranges of a stack. */
interface Matrix {
  readonly name: string;
  /** U32 `[N, words]`. */
  readonly weight: MetaTensor;
  /** `[N, groups]`. */
  readonly scales: MetaTensor;
  readonly biases: MetaTensor | undefined;
  readonly global: number | undefined;
}

function* matricesOf(raw: RawCheckpoint, module: Module): Generator<Matrix> {
  const { weight, scales, biases, globals } = module;
  const { shape } = weight;
  const fail = () => malformed(weight, `its shape is [${shape.join(', ')}], expected a matrix or a stack of them`);
  if (weight.elementCount === 0 || shape.length < 2 || shape.length > 3) fail();
  const groups = scales.shape.at(-1) ?? 0;
  for (const part of biases ? [scales, biases] : [scales]) checkShape(part, [...shape.slice(0, -1), groups]);
  if (groups === 0) malformed(scales, 'it is empty');
  if (shape.length === 2) {
    yield { name: weight.name, weight, scales, biases, global: globals?.[0] };
    return;
  }
  const { count, nameOf } = stackOf(raw, weight, module.name);
  for (let e = 0; e < count; e++) {
    const name = `${nameOf(e)}${WEIGHT}`;
    const own = (tensor: MetaTensor, part: string) => oneOf(tensor, count, e, `${name}.${part}`);
    yield {
      name,
      weight: own(weight, 'codes'),
      scales: own(scales, 'scales'),
      biases: biases && own(biases, 'offsets'),
      global: globals?.[e],
    };
  }
}

function stackOf(
  raw: RawCheckpoint,
  weight: MetaTensor,
  module: string,
): { count: number; nameOf: (e: number) => string } {
  const count = weight.shape[0]!;
  if (count > MOST_EXPERTS) malformed(weight, `it stacks ${count} matrices; ${MOST_EXPERTS} at most are accepted`);
  const nameOf = expertModule(module, raw.config);
  if (nameOf === undefined) {
    unsupported(
      raw,
      `${weight.name} stacks ${count} matrices, and its name does not say that they are experts; ` +
        'use the model that this one was converted from',
    );
  }
  return { count, nameOf };
}

/** Element e of the first dimension. */
function oneOf(tensor: MetaTensor, count: number, e: number, name: string): MetaTensor {
  return viewed(tensor, { name, shape: tensor.shape.slice(1), from: e * (tensor.byteLength / count) });
}

function resolveMatrix(raw: RawCheckpoint, matrix: Matrix, module: string, pool: ConstantPool): SourceTensor {
  const { scales, biases, weight, global } = matrix;
  if (scales.dtype === 'U8') {
    if (biases !== undefined) malformed(biases, `it makes no sense beside ${scales.name}, which is U8`);
    return floatMatrix(matrix, pool);
  }
  if (global !== undefined) malformed(scales, `its dtype is ${scales.dtype}, expected U8, since it has a global_scale`);
  if (biases === undefined) companion(raw, weight, `${module}.biases`);
  return affineMatrix(raw, { ...matrix, biases: biases! }, module);
}

function affineMatrix(
  raw: RawCheckpoint,
  { name, weight, scales, biases }: Matrix & { biases: MetaTensor },
  module: string,
): SourceTensor {
  for (const part of [scales, biases]) checkDType(part, ['F32', 'F16', 'BF16']);
  const [rows, words] = weight.shape as [number, number];
  const groups = scales.shape[1]!;
  const { bits, group } = affinePacking(raw, weight, module, { words, groups });
  const shape = [rows, groups * group];
  const width = bits <= 4 ? 4 : 8;
  const format: PackedFormat = {
    ...(width === 4 ? { code: 'u4', nibbles: 'low' } : { code: 'u8' }),
    block: { rows: 1, columns: group },
    scale: { dtype: scales.dtype as 'F32' | 'F16' | 'BF16' },
    offset: { dtype: biases.dtype as 'F32' | 'F16' | 'BF16' },
  };
  if (bits === width) {
    const codes = viewed(weight, { dtype: 'U8', shape: [rows, 4 * words] });
    return packed(weight, { name, shape, format, components: { codes, scales, offsets: biases } });
  }
  const params: MlxParams = { bits, width, rowWords: words };
  return {
    kind: 'conversion',
    name,
    shape,
    codec: 'mlx',
    params,
    inputs: { weight, scales, biases },
    output: { format },
  };
}

function floatMatrix({ name, weight, scales, global }: Matrix, pool: ConstantPool): SourceTensor {
  const [rows, words] = weight.shape as [number, number];
  const found = FLOAT_MODES[(32 * words) / scales.shape[1]!];
  if (found === undefined) {
    return malformed(
      weight,
      `${words} words and ${scales.shape[1]} bytes of scale in a row are neither nvfp4, mxfp4 nor mxfp8`,
    );
  }
  const { mode, group } = found;
  if (global !== undefined && mode !== 'nvfp4') malformed(weight, `it has a global_scale, which ${mode} has none of`);
  if (mode === 'mxfp8') {
    const codes = viewed(weight, { dtype: 'F8_E4M3', shape: [rows, 4 * words] });
    return scaledBytes(name, codes, scales, [1, group], pool);
  }
  const factor = Math.fround((global ?? NVFP4_LARGEST) / NVFP4_LARGEST);
  const table8 = mode === 'mxfp4' ? E8M0 : global === undefined ? E4M3 : scaledE4M3((number) => number * factor);
  const codes = viewed(weight, { dtype: 'U8', shape: [rows, 4 * words] });
  return float4Matrix(name, { codes, scales, group, table8 }, pool);
}

/** Of stacked experts that are not quantised, and of the biases of those that are: one tensor for each. */
function* denseExperts(raw: RawCheckpoint, tensor: MetaTensor): Generator<MetaTensor> {
  const [, module, part] = /^(.*)\.(weight|bias)$/.exec(tensor.name) ?? [];
  if (module === undefined || tensor.shape.length !== (part === 'weight' ? 3 : 2)) return;
  const isStack = isSwitch(module) || raw.tensors.get(module + WEIGHT)?.shape.length === 3;
  if (!isStack || expertModule(module, raw.config) === undefined) return;
  const { count, nameOf } = stackOf(raw, tensor, module);
  for (let e = 0; e < count; e++) yield oneOf(tensor, count, e, `${nameOf(e)}.${part}`);
}

function checkOrphan(raw: RawCheckpoint, tensor: MetaTensor): void {
  if (!tensor.name.endsWith(SCALES)) return;
  const weight = companion(raw, tensor, tensor.name.slice(0, -SCALES.length) + WEIGHT);
  malformed(weight, `its dtype is ${weight.dtype}, expected U32, since ${tensor.name} lies beside it`);
}
