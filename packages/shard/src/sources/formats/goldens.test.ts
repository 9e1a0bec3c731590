import path from 'node:path';
import { type MetaTensor, openCheckpoint } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { sharedFolder } from '../../testing/shared';
import { CODECS } from '../codecs/registry';
import { openSource } from '../open-source';
import { isConversion, type SourceTensor } from '../source';

const golden = sharedFolder('golden-quant');

const kindOf = (tensor: SourceTensor) =>
  isConversion(tensor) ? 'converted' : 'components' in tensor ? 'in place' : 'dense';

/** Largest error, as a part of the largest weight. */
function error(found: Float32Array, expected: Float32Array): number {
  expect(found.length).toBe(expected.length);
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < found.length; i++) {
    worst = Math.max(worst, Math.abs(found[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return worst / largest;
}

const CASES: readonly [name: string, how: ReturnType<typeof kindOf>, tolerance: number][] = [
  ['auto-round-4bit', 'converted', 0],
  ['awq-gemm-4bit-g128', 'converted', 0],
  ['awq-gemm-4bit-g32-skip', 'converted', 0],
  ['bnb-fp4', 'in place', 0],
  ['bnb-int8', 'in place', 2e-7],
  ['bnb-nf4', 'in place', 0],
  ['bnb-nf4-bf16-storage', 'in place', 0],
  ['bnb-nf4-nested', 'in place', 0],
  ['bnb-nf4-straddle', 'in place', 0],
  ['ct-fp8-block-ragged', 'in place', 0],
  ['ct-fp8-channel', 'in place', 0],
  ['ct-fp8-tensor', 'in place', 0],
  ['ct-mxfp4', 'in place', 0],
  ['ct-mxfp8', 'in place', 0],
  ['ct-nvfp4', 'in place', 0],
  ['ct-w3a16-pack', 'converted', 0],
  ['ct-w4a16-pack', 'in place', 0],
  ['ct-w4a16-pack-asym', 'converted', 0],
  ['ct-w8a16-pack-channel', 'in place', 0],
  ['ct-w8a8-int', 'in place', 0],
  ['fp8-autofp8', 'in place', 0],
  ['fp8-block', 'in place', 0],
  ['fp8-block-moe', 'in place', 0],
  ['fp8-block-ragged', 'in place', 0],
  ['fp8-block-ue8m0', 'in place', 0],
  ['fp8-fbgemm', 'in place', 0],
  ['fp8-tensor', 'in place', 0],
  ['gptq-2bit-g64', 'converted', 0],
  ['gptq-3bit', 'converted', 0],
  ['gptq-4bit-asym', 'converted', 0],
  ['gptq-4bit-desc_act', 'converted', 0],
  ['gptq-4bit-g128', 'converted', 0],
  ['gptq-8bit', 'converted', 0],
  ['gptq-dynamic', 'converted', 0],
  ['gptq-sym-mislabelled', 'converted', 0],
  ['gptq_v2-4bit-asym', 'converted', 0],
  ['hqq-4bit-g64', 'converted', 0],
  ['mlx-3bit', 'converted', 0],
  ['mlx-4bit-g64', 'in place', 0],
  ['mlx-6bit', 'converted', 0],
  ['mlx-8bit-tied', 'in place', 0],
  ['mlx-mxfp4', 'in place', 0],
  ['mlx-mxfp8', 'in place', 0],
  ['mlx-nvfp4', 'in place', 0],
  ['modelopt-nvfp4', 'in place', 0],
  ['torchao-fp8', 'in place', 0],
  ['torchao-int8', 'in place', 0],
];

describe.skipIf(golden === undefined)('weights are what the libraries make of them', () => {
  test.each(CASES)('%s: %s', async (name, how, tolerance) => {
    const dir = path.join(golden!, name);
    const { tensors } = await openSource(dir);
    for (const [module, expected] of await expectedWeights(dir)) {
      const ours = tensors.get(module)!;
      // Some modules of a quantised checkpoint stay dense.
      if (kindOf(ours) !== 'dense') expect([module, kindOf(ours)]).toEqual([module, how]);
      expect(ours.shape).toEqual(expected.shape);
      const worst = error(await decodeSourceTensor(ours, CODECS), await decodeSourceTensor(expected, CODECS));
      expect(worst).toBeLessThanOrEqual(tolerance);
    }
  });

  test('MLX: modules of several widths, or of none', async () => {
    const dir = path.join(golden!, 'mlx-mixed');
    const { tensors } = await openSource(dir);
    const weights = await expectedWeights(dir);
    for (const [module, expected] of weights) {
      const ours = tensors.get(module)!;
      expect(error(await decodeSourceTensor(ours, CODECS), await decodeSourceTensor(expected, CODECS))).toBe(0);
    }
    const kinds = ['mlp.down_proj', 'mlp.up_proj', 'self_attn.k_proj'].map((module) =>
      kindOf(tensors.get(`model.layers.0.${module}.weight`)!),
    );
    expect(kinds).toEqual(['converted', 'in place', 'dense']);
  });

  test('MLX: experts are ranges of the stacked tensors, under the names of transformers', async () => {
    const dir = path.join(golden!, 'mlx-4bit-moe');
    const { tensors } = await openSource(dir);
    for (const [module, expected] of await expectedWeights(dir)) {
      const numbers = await decodeSourceTensor(expected, CODECS);
      const isStack = expected.shape.length === 3;
      const count = isStack ? expected.shape[0]! : 1;
      for (let e = 0; e < count; e++) {
        const ours = tensors.get(module.replace('.switch_mlp.', `.experts.${e}.`))!;
        expect([module, kindOf(ours), ...ours.shape]).toEqual([module, 'in place', ...expected.shape.slice(-2)]);
        const own = numbers.subarray((e * numbers.length) / count, ((e + 1) * numbers.length) / count);
        expect(error(await decodeSourceTensor(ours, CODECS), own)).toBe(0);
      }
    }
    expect(tensors.get('model.layers.0.mlp.gate.weight')).toMatchObject({ format: { code: 'u8' } });
  });

  test('no part of a quantised weight is left over', async () => {
    for (const [name] of [...CASES, ['mlx-4bit-moe'], ['mlx-mixed'], ['mxfp4-gpt_oss']] as const) {
      const { tensors } = await openSource(path.join(golden!, name));
      const odd = [...tensors.keys()].filter((key) => !/\.(weight|bias|sinks)$/.test(key));
      expect([name, ...odd]).toEqual([name]);
    }
  });

  test('experts of gpt-oss are ranges of the stacked tensors', async () => {
    const dir = path.join(golden!, 'mxfp4-gpt_oss');
    const { tensors } = await openSource(dir);
    const stacks = await expectedWeights(dir);
    expect(stacks.length).toBeGreaterThan(0);
    for (const [module, stack] of stacks) {
      const [count, columns, rows] = stack.shape as [number, number, number];
      const numbers = await decodeSourceTensor(stack, CODECS);
      for (let e = 0; e < count; e++) {
        const ours = tensors.get(module.replace('.experts.', `.experts.${e}.`).concat('.weight'))!;
        expect([kindOf(ours), ...ours.shape]).toEqual(['in place', rows, columns]);
        // A dense checkpoint stores experts as [in, out].
        const dense = numbers.subarray(e * rows * columns, (e + 1) * rows * columns);
        const transposed = dense.map((_, i) => dense[(i % columns) * rows + Math.floor(i / columns)]!);
        expect(error(await decodeSourceTensor(ours, CODECS), transposed)).toBe(0);
      }
    }
    const stored = await openCheckpoint(dir);
    const biases = await decodeSourceTensor(
      stored.tensors.get('model.layers.1.mlp.experts.gate_up_proj_bias')!,
      CODECS,
    );
    const bias = tensors.get('model.layers.1.mlp.experts.2.gate_up_proj.bias')!;
    expect(await decodeSourceTensor(bias, CODECS)).toEqual(biases.slice(2 * 192, 3 * 192));
  });
});

async function expectedWeights(dir: string): Promise<[module: string, tensor: MetaTensor][]> {
  const { tensors } = await openCheckpoint(path.join(dir, 'expected.safetensors'));
  const weights = [...tensors].filter(([name]) => name.startsWith('dequant/'));
  expect(weights.length).toBeGreaterThan(0);
  return weights.map(([name, tensor]) => [name.slice('dequant/'.length), tensor]);
}
