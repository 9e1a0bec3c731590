import { E8M0 } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { QuantFormat, RawCheckpoint, SourceTensor } from '../source';
import { ConstantPool } from './shared/constants';
import { float4Matrix } from './shared/float4';
import { checkDType, checkShape, companion, malformed, viewed } from './shared/tensors';

/** Weights that share a scale, and their bytes. */
const GROUP = 32;
const GROUP_BYTES = GROUP / 2;

/** More experts than any model has: a header may claim as many as its file has bytes. */
const MOST_EXPERTS = 4096;

const BLOCKS = /^(.*)\.(gate_up_proj|down_proj)_blocks$/;
const SCALES = /^(.*)_scales$/;

/**
 * gpt-oss: experts stacked in one tensor, `<projection>_blocks` [E, rows, K / 32, 16] and `_scales` [E, rows, K / 32] in
 * E8M0. Each expert is a range of their bytes, and runs in place: `<experts>.<e>.<projection>.weight` [rows, K] (of
 * gate_up_proj, even rows are the gate's), and its bias likewise.
 */
export const mxfp4: QuantFormat = {
  name: 'mxfp4',

  detect(raw) {
    const method = raw.quantisation?.quant_method;
    if (method !== undefined) return method === 'mxfp4';
    return [...raw.tensors.keys()].some((name) => BLOCKS.test(name));
  },

  async resolve(raw) {
    const tensors = new Map<string, SourceTensor>();
    const used = new Set<string>();
    const pool = new ConstantPool();
    for (const blocks of raw.tensors.values()) {
      const [, module, projection] = BLOCKS.exec(blocks.name) ?? [];
      if (module === undefined) continue;
      const scales = companion(raw, blocks, `${module}.${projection}_scales`);
      const bias = raw.tensors.get(`${module}.${projection}_bias`);
      for (const part of [blocks, scales, ...(bias ? [bias] : [])]) used.add(part.name);
      for (const tensor of experts({ blocks, scales, bias }, (e) => `${module}.${e}.${projection}`, pool)) {
        tensors.set(tensor.name, tensor);
      }
    }
    for (const tensor of raw.tensors.values()) if (!used.has(tensor.name)) checkOrphan(raw, tensor);
    return { tensors, used };
  },
};

interface Stack {
  readonly blocks: MetaTensor;
  readonly scales: MetaTensor;
  readonly bias: MetaTensor | undefined;
}

function* experts({ blocks, scales, bias }: Stack, nameOf: (e: number) => string, pool: ConstantPool) {
  const [count, rows, groups] = stackShape(blocks);
  checkDType(blocks, ['U8']);
  checkDType(scales, ['U8', 'F8_E8M0']);
  checkShape(scales, [count, rows, groups]);
  if (bias) checkShape(bias, [count, rows]);
  const rowBytes = groups * GROUP_BYTES;
  for (let e = 0; e < count; e++) {
    const name = nameOf(e);
    const codes = { name: `${name}.weight.codes`, shape: [rows, rowBytes], from: e * rows * rowBytes };
    const own = { name: `${name}.weight.scales`, shape: [rows, groups], from: e * rows * groups };
    const parts = { codes: viewed(blocks, codes), scales: viewed(scales, own), group: GROUP, table8: E8M0 };
    yield float4Matrix(`${name}.weight`, parts, pool);
    if (bias) {
      yield viewed(bias, { name: `${name}.bias`, shape: [rows], from: e * (bias.byteLength / count) });
    }
  }
}

function stackShape(blocks: MetaTensor): readonly [experts: number, rows: number, groups: number] {
  const { shape } = blocks;
  const [count, rows, groups, bytes] = shape;
  if (shape.length === 4 && bytes === GROUP_BYTES && count! * rows! * groups! > 0 && count! <= MOST_EXPERTS) {
    return [count!, rows!, groups!];
  }
  return malformed(
    blocks,
    `its shape is [${shape.join(', ')}], expected [experts (${MOST_EXPERTS} at most), rows, columns / ${GROUP}, ${GROUP_BYTES}]`,
  );
}

function checkOrphan(raw: RawCheckpoint, tensor: MetaTensor): void {
  const stack = SCALES.exec(tensor.name)?.[1];
  if (stack !== undefined && BLOCKS.test(`${stack}_blocks`)) companion(raw, tensor, `${stack}_blocks`);
}
