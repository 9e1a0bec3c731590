import path from 'node:path';
import { FormatError, MetaTensor, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { temporaryFolder } from '../../testing/temporary';
import { str, type TestTensor, writeGguf } from '../../testing/write-gguf';
import { isConversion, type SourceTensor } from '../source';
import { ggufCodec } from './gguf-codec';
import { mapTensors } from './map-tensors';
import { openGguf } from './open-gguf';

const ramp = (length: number) => Array.from({ length }, (_, i) => i);

function f32(name: string, dimensions: readonly number[], values: readonly number[]): TestTensor {
  return { name, type: 0, dimensions, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

async function mapped(architecture: string, config: Record<string, unknown>, tensors: readonly TestTensor[]) {
  const file = writeGguf(path.join(temporaryFolder(), 'm.gguf'), {
    metadata: { 'general.architecture': str(architecture) },
    tensors,
  });
  return mapTensors(await openGguf(file), config);
}

const numbers = async (tensor: SourceTensor | undefined) => [...(await decodeSourceTensor(tensor!, [ggufCodec]))];
const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('mapTensors', () => {
  test("llama's queries and keys get their rows back in halves, biases too; others stay where they are", async () => {
    // Two heads of 4: ggml has rows 0, 2, 1, 3 of each.
    const tensors = await mapped('llama', { head_dim: 4, model_type: 'llama' }, [
      f32('blk.0.attn_q.weight', [2, 8], ramp(16)),
      f32('blk.0.attn_k.bias', [4], ramp(4)),
      f32('blk.0.attn_v.weight', [2, 4], ramp(8)),
    ]);
    const q = tensors.get('model.layers.0.self_attn.q_proj.weight');
    expect(await numbers(q)).toEqual([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
    expect(await numbers(tensors.get('model.layers.0.self_attn.k_proj.bias'))).toEqual([0, 2, 1, 3]);
    expect(MetaTensor.isInstance(tensors.get('model.layers.0.self_attn.v_proj.weight'))).toBe(true);
  });

  test('packed rows are permuted with all that belongs to them', async () => {
    const block = (scale: number, fill: number) => [
      ...new Uint8Array(Uint16Array.of(scale).buffer),
      ...new Array(32).fill(fill),
    ];
    const bytes = Uint8Array.from([1, 2, 3, 4].flatMap((i) => block(0x3c00 + 0x400 * (i % 2), i)));
    const q = { name: 'blk.0.attn_q.weight', type: 8, dimensions: [32, 4], bytes };
    const tensors = await mapped('llama', { head_dim: 4, model_type: 'llama' }, [q]);
    const values = await numbers(tensors.get('model.layers.0.self_attn.q_proj.weight'));
    expect([0, 1, 2, 3].map((row) => values[32 * row])).toEqual([2, 6, 2, 4]);
  });

  test('stacked experts are taken apart, and single ones have the same names', async () => {
    const config = { model_type: 'mixtral', head_dim: 4 };
    const stacked = await mapped('llama', config, [
      f32('blk.1.ffn_down_exps.weight', [2, 3, 2], ramp(12)),
      f32('blk.1.ffn_gate_inp.weight', [2, 2], ramp(4)),
    ]);
    expect(await numbers(stacked.get('model.layers.1.block_sparse_moe.experts.1.w2.weight'))).toEqual([
      6, 7, 8, 9, 10, 11,
    ]);
    expect(stacked.has('model.layers.1.block_sparse_moe.gate.weight')).toBe(true);
    const single = await mapped('llama', config, [f32('blk.1.ffn_down.1.weight', [2, 3], ramp(6))]);
    expect(single.get('model.layers.1.block_sparse_moe.experts.1.w2.weight')?.shape).toEqual([3, 2]);
    const qwen = await mapped('qwen3moe', {}, [f32('blk.0.ffn_up_exps.weight', [2, 3, 2], ramp(12))]);
    expect([...qwen.keys()]).toEqual([0, 1].map((e) => `model.layers.0.mlp.experts.${e}.up_proj.weight`));
  });

  test("gpt-oss's gates and ups become one matrix per expert, row by row in turn", async () => {
    const tensors = await mapped('gpt-oss', {}, [
      f32('blk.0.ffn_gate_exps.weight', [2, 2, 2], ramp(8)),
      f32('blk.0.ffn_gate_exps.bias', [2, 2], ramp(4)),
      f32('blk.0.ffn_up_exps.bias', [2, 2], [10, 11, 12, 13]),
      f32('blk.0.ffn_up_exps.weight', [2, 2, 2], [10, 11, 12, 13, 14, 15, 16, 17]),
      f32('blk.0.ffn_down_exps.bias', [2, 2], ramp(4)),
      f32('blk.0.attn_sinks.weight', [2], ramp(2)),
    ]);
    const name = (expert: number) => `model.layers.0.mlp.experts.${expert}.gate_up_proj`;
    expect(await numbers(tensors.get(`${name(0)}.weight`))).toEqual([0, 1, 10, 11, 2, 3, 12, 13]);
    expect(await numbers(tensors.get(`${name(1)}.weight`))).toEqual([4, 5, 14, 15, 6, 7, 16, 17]);
    expect(await numbers(tensors.get(`${name(1)}.bias`))).toEqual([2, 12, 3, 13]);
    expect(await numbers(tensors.get('model.layers.0.mlp.experts.1.down_proj.bias'))).toEqual([2, 3]);
    expect(tensors.get('model.layers.0.self_attn.sinks')?.shape).toEqual([2]);
    expect(tensors.size).toBe(7);
    const alone = await errorOf(mapped('gpt-oss', {}, [f32('blk.0.ffn_gate_exps.bias', [2, 2], ramp(4))]));
    expect(alone).toMatchObject({ reason: expect.stringContaining('blk.0.ffn_up_exps.bias') });
  });

  test("Gemma's norms lose the 1 that ggml has added", async () => {
    const tensors = await mapped('gemma3', {}, [
      f32('output_norm.weight', [3], [1, 1.5, 0]),
      f32('blk.0.attn_q_norm.weight', [2], [2, 3]),
    ]);
    expect(await numbers(tensors.get('model.norm.weight'))).toEqual([0, 0.5, -1]);
    expect(await numbers(tensors.get('model.layers.0.self_attn.q_norm.weight'))).toEqual([1, 2]);
  });

  test('quantised matrices are conversions of the stored bytes; what became part of the config is left out', async () => {
    const q8 = { name: 'token_embd.weight', type: 8, dimensions: [32, 2], bytes: new Uint8Array(68) };
    const tensors = await mapped('qwen2', {}, [q8, f32('rope_freqs.weight', [2], [1, 1])]);
    expect([...tensors.keys()]).toEqual(['model.embed_tokens.weight']);
    const [embedding] = tensors.values();
    expect(isConversion(embedding!) && embedding).toMatchObject({ shape: [2, 32], output: { format: { code: 'i8' } } });
  });

  test.each([
    ['a tensor without a place', 'qwen2', {}, [f32('blk.0.attn_sinks.weight', [2], [1, 1])], 'blk.0.attn_sinks.weight'],
    [
      'experts of a model that has none',
      'qwen2',
      {},
      [f32('blk.0.ffn_up_exps.weight', [1, 1, 1], [0])],
      'blk.0.ffn_up_exps.weight',
    ],
    [
      'rows that are no whole heads',
      'llama',
      { head_dim: 4 },
      [f32('blk.0.attn_q.weight', [1, 6], ramp(6))],
      'blk.0.attn_q.weight',
    ],
    ['a name that every object has', 'qwen2', {}, [f32('constructor.weight', [1], [0])], 'constructor.weight'],
  ] as [string, string, Record<string, unknown>, TestTensor[], string][])(
    'refuses %s',
    async (_, architecture, config, tensors, name) => {
      const error = await errorOf(mapped(architecture, config, tensors));
      expect(FormatError.isInstance(error)).toBe(true);
      expect((error as FormatError).tensor).toBe(name);
    },
  );

  test('refuses a type that is known and not supported, by name', async () => {
    const q1 = { name: 'output.weight', type: 41, dimensions: [128, 1], bytes: new Uint8Array(18) };
    const error = await errorOf(mapped('qwen2', {}, [q1]));
    expect(UnsupportedCheckpointError.isInstance(error)).toBe(true);
    expect((error as Error).message).toMatch(/output\.weight.*Q1_0.*Q4_K/);
  });
});
