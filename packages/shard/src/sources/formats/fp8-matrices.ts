import type { MetaTensor } from '@airllm/loader';
import type { RawCheckpoint, ResolvedTensors, SourceTensor } from '../source';
import { ConstantPool } from './shared/constants';
import { type BlockShape, matrixShape, scaleCounts, scaledBytes } from './shared/scaled';
import { companion, malformed, unsupported } from './shared/tensors';

/** What the scales of a weight are called: DeepSeek and Qwen, AutoFP8 and FBGEMM, DeepSeek's own code, Mistral's own. */
const SCALE_NAMES = ['weight_scale_inv', 'weight_scale', 'scale', 'qscale_weight'] as const;

/** Of these only a quantised weight can be the owner; others (`scale`) may be parameters of a norm. */
const OWNED_SCALE = /\.(?:weight_scale_inv|weight_scale|qscale_weight)$/;

/** Scales of activations and of the KV cache: executors compute with activations as they are. */
const NOT_NEEDED =
  /\.(?:input_scale|input_scale_inv|input_scale_ub|activation_scale|qscale_act|[kvq]_scale|kv_scale|prob_scale|output_scale)$/;

const OTHER_FP8 = /^F8_(?:E5M2|E5M2FNUZ|E4M3FNUZ)$/;

/** Whether any weight is FP8 with scales beside it. */
export function hasFp8Weights(raw: Pick<RawCheckpoint, 'tensors'>): boolean {
  for (const { name, dtype } of raw.tensors.values()) {
    if (dtype === 'F8_E4M3' && name.endsWith('.weight') && scalesOf(raw, moduleOf(name)) !== undefined) return true;
  }
  return false;
}

/**
 * Every `<module>.weight` in F8_E4M3, in place: w = code · scale, `weight_scale_inv` included (it multiplies, despite its
 * name). One scale for the whole matrix, for a row, or for a block whose size is `blocks`, never the quotient of shapes:
 * 192 rows are one block and a half. Without `blocks`, a matrix of scales belongs to blocks of 128 × 128. `taken` are
 * scales of weights in other formats.
 */
export function resolveFp8(
  raw: RawCheckpoint,
  blocks: BlockShape | undefined,
  taken: ReadonlySet<string> = new Set(),
): ResolvedTensors {
  const tensors = new Map<string, SourceTensor>();
  const used = new Set<string>();
  const pool = new ConstantPool();
  for (const weight of raw.tensors.values()) {
    const { name, dtype } = weight;
    if (NOT_NEEDED.test(name)) used.add(name);
    if (OTHER_FP8.test(dtype)) {
      unsupported(raw, `${name} is ${dtype}; only F8_E4M3 is supported: use an upload in that format or in bfloat16`);
    }
    if (dtype !== 'F8_E4M3' || !name.endsWith('.weight')) continue;
    if (weight.shape.length === 3) {
      unsupported(raw, `${name} holds a stack of FP8 matrices; use an upload with one weight per expert`);
    }
    const scales = scalesOf(raw, moduleOf(name)) ?? companion(raw, weight, `${moduleOf(name)}${SCALE_NAMES[0]}`);
    tensors.set(name, scaledBytes(name, weight, scales, blockOf(weight, scales, blocks), pool));
    used.add(name).add(scales.name);
  }
  for (const { name } of raw.tensors.values()) {
    if (OWNED_SCALE.test(name) && !used.has(name) && !taken.has(name)) explainOrphan(raw, name);
  }
  return { tensors, used };
}

/** `a.b.` of `a.b.weight`. */
function moduleOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.') + 1);
}

function scalesOf(raw: Pick<RawCheckpoint, 'tensors'>, module: string): MetaTensor | undefined {
  for (const name of SCALE_NAMES) {
    const scales = raw.tensors.get(module + name);
    if (scales !== undefined) return scales;
  }
  return undefined;
}

function blockOf(weight: MetaTensor, scales: MetaTensor, blocks: BlockShape | undefined): BlockShape {
  const shape = matrixShape(weight);
  const { elementCount, shape: found } = scales;
  const like = (counts: readonly number[]) => found.length === counts.length && counts.every((n, i) => n === found[i]);
  if (blocks !== undefined && like(scaleCounts(shape, blocks))) return blocks;
  if (elementCount === 1) return shape;
  // A row's own scale, unless the configuration speaks of blocks: then it is a matrix of scales of the wrong shape.
  if (blocks === undefined && (like([shape[0], 1]) || like([shape[0]]))) return [1, shape[1]];
  const expected = blocks ?? DEFAULT_BLOCKS;
  const counts = scaleCounts(shape, expected);
  if (!like(counts)) {
    const rows = blocks === undefined ? `[], [${shape[0]}, 1] or ` : '';
    malformed(
      scales,
      `its shape is [${found.join(', ')}], expected ${rows}[${counts.join(', ')}] for ${weight.name} ` +
        `[${shape.join(', ')}] in blocks of ${expected.join(' by ')}`,
    );
  }
  return expected;
}

/** Of every published model with FP8 blocks so far. */
const DEFAULT_BLOCKS: BlockShape = [128, 128];

function explainOrphan(raw: RawCheckpoint, name: string): never {
  const scales = raw.tensors.get(name)!;
  const weight = companion(raw, scales, `${moduleOf(name)}weight`);
  malformed(weight, `its dtype is ${weight.dtype}, expected F8_E4M3, since ${name} lies beside it`);
}
