import path from 'node:path';
import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { float, ints, str, type TestGguf, type TestTensor, uint, writeGguf } from '../../testing/write-gguf';
import { openGguf } from './open-gguf';
import { readGgufConfig } from './read-config';

const F32 = 0;

function vector(name: string, values: readonly number[]): TestTensor {
  return { name, type: F32, dimensions: [values.length], bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

const embedding: TestTensor = {
  name: 'token_embd.weight',
  type: F32,
  dimensions: [16, 10],
  bytes: new Uint8Array(640),
};

/** Metadata of a small model: 2 layers, 16 wide, 4 heads of 4, 2 of them for keys. */
function metadata(architecture: string, more: TestGguf['metadata'] = {}): NonNullable<TestGguf['metadata']> {
  const own = {
    context_length: uint(64),
    embedding_length: uint(16),
    block_count: uint(2),
    feed_forward_length: uint(32),
    'attention.head_count': uint(4),
    'attention.head_count_kv': uint(2),
    'attention.layer_norm_rms_epsilon': float(1e-5),
  };
  const prefixed = Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value]);
  return { 'general.architecture': str(architecture), ...Object.fromEntries(prefixed), ...more };
}

async function configOf(gguf: TestGguf) {
  const file = writeGguf(path.join(temporaryFolder(), 'model.gguf'), { tensors: [embedding], ...gguf });
  return readGgufConfig(await openGguf(file));
}

const config = (architecture: string, more?: TestGguf['metadata'], tensors: TestTensor[] = []) =>
  configOf({ metadata: metadata(architecture, more), tensors: [embedding, ...tensors] });

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

const common = {
  vocab_size: 10,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  // Not 9.999999747378752e-6: the file has a float32.
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  tie_word_embeddings: true,
};

describe('readGgufConfig', () => {
  test.each([
    ['llama', {}, { model_type: 'llama', head_dim: 4, attention_bias: false }],
    ['llama', { 'llama.attention.sliding_window': uint(8) }, { model_type: 'mistral', sliding_window: 8 }],
    [
      'llama',
      { 'llama.expert_count': uint(8), 'llama.expert_used_count': uint(2) },
      { model_type: 'mixtral', num_local_experts: 8, num_experts_per_tok: 2 },
    ],
    ['llama', { 'llama.attention.key_length': uint(8) }, { head_dim: 8 }],
    ['qwen2', {}, { model_type: 'qwen2', use_sliding_window: false }],
    ['qwen3', {}, { model_type: 'qwen3', attention_bias: false }],
    [
      'qwen3moe',
      {
        'qwen3moe.expert_count': uint(4),
        'qwen3moe.expert_used_count': uint(2),
        'qwen3moe.expert_feed_forward_length': uint(8),
      },
      { model_type: 'qwen3_moe', num_experts: 4, moe_intermediate_size: 8, norm_topk_prob: true },
    ],
    [
      'gemma3',
      { 'gemma3.attention.sliding_window': uint(512), 'gemma3.rope.freq_base': float(1e6) },
      {
        model_type: 'gemma3_text',
        sliding_window: 512,
        rope_theta: 1e6,
        rope_local_base_freq: 10_000,
        query_pre_attn_scalar: 4,
        hidden_activation: 'gelu_pytorch_tanh',
      },
    ],
    [
      'gpt-oss',
      {
        'gpt-oss.expert_count': uint(4),
        'gpt-oss.expert_used_count': uint(2),
        'gpt-oss.expert_feed_forward_length': uint(8),
        'gpt-oss.rope.scaling.type': str('yarn'),
        'gpt-oss.rope.scaling.factor': float(32),
        'gpt-oss.rope.scaling.original_context_length': uint(16),
      },
      {
        model_type: 'gpt_oss',
        intermediate_size: 8,
        num_local_experts: 4,
        num_experts_per_tok: 2,
        layer_types: ['sliding_attention', 'full_attention'],
        rope_scaling: { rope_type: 'yarn', factor: 32, original_max_position_embeddings: 16, truncate: false },
      },
    ],
    ['phi3', { 'phi3.rope.dimension_count': uint(2) }, { model_type: 'phi3', partial_rotary_factor: 0.5 }],
  ] as [string, TestGguf['metadata'], object][])('%s %j', async (architecture, more, expected) => {
    expect(await config(architecture, more)).toMatchObject({ ...common, ...expected });
  });

  test('gpt2 has names of its own, and matrices the other way round', async () => {
    const keys = Object.entries(metadata('gpt2')).filter(([key]) => !key.includes('rms'));
    const read = await configOf({
      metadata: { ...Object.fromEntries(keys), 'gpt2.attention.layer_norm_epsilon': float(1e-5) },
    });
    expect(read).toMatchObject({
      model_type: 'gpt2',
      n_embd: 16,
      n_layer: 2,
      n_head: 4,
      n_inner: 32,
      n_positions: 64,
      layer_norm_epsilon: 1e-5,
      conv1d_layout: 'out,in',
    });
  });

  test('an output matrix unties the embedding; ids of special tokens are taken along', async () => {
    const output = { ...embedding, name: 'output.weight' };
    const ids = { 'tokenizer.ggml.bos_token_id': uint(1), 'tokenizer.ggml.eos_token_id': uint(2) };
    const more = { ...ids, 'tokenizer.ggml.eot_token_id': uint(7) };
    expect(await config('llama', more, [output])).toMatchObject({
      tie_word_embeddings: false,
      bos_token_id: 1,
      eos_token_id: [2, 7],
    });
  });

  test('counts per layer are one count where they agree', async () => {
    const read = await config('llama', { 'llama.attention.head_count_kv': ints([1, 1]) });
    expect(read).toMatchObject({ num_key_value_heads: 1 });
    const error = await errorOf(config('llama', { 'llama.attention.head_count_kv': ints([1, 2]) }));
    expect(error).toMatchObject({ reason: expect.stringMatching(/head_count_kv.*differs/) });
  });

  test.each([
    ['an architecture nobody knows', 'rwkv7', {}, /rwkv7.*llama/],
    ['heads that rotate in part', 'llama', { 'llama.rope.dimension_count': uint(2) }, /rope.dimension_count.*2/],
    ['values of another width', 'llama', { 'llama.attention.value_length': uint(8) }, /value_length.*8/],
    ['a number that is a string', 'llama', { 'llama.block_count': str('2') }, /llama.block_count.*string/],
    ['a billion layers', 'llama', { 'llama.block_count': uint(1e9) }, /llama.block_count.*1000000000/],
    ['no layers', 'llama', { 'llama.block_count': uint(0) }, /llama.block_count.*at least 1/],
    ['an unknown scaling', 'llama', { 'llama.rope.scaling.type': str('spiral') }, /rope.scaling.type.*spiral/],
  ] as [string, string, TestGguf['metadata'], RegExp][])('refuses %s', async (_, architecture, more, message) => {
    const error = await errorOf(config(architecture, more));
    expect(FormatError.isInstance(error) || UnsupportedCheckpointError.isInstance(error)).toBe(true);
    expect((error as Error).message).toMatch(message);
  });
});

describe('rotary scaling', () => {
  const pairs = (factors: readonly number[]) => [vector('rope_freqs.weight', factors)];
  /** 16 wide heads, so that eight frequencies tell something. */
  const wide = { 'llama.attention.key_length': uint(16), 'llama.attention.value_length': uint(16) };

  test('linear and YaRN are read as they stand', async () => {
    const linear = { 'llama.rope.scaling.type': str('linear'), 'llama.rope.scaling.factor': float(4) };
    expect(await config('llama', linear)).toMatchObject({ rope_scaling: { rope_type: 'linear', factor: 4 } });
    expect(await config('llama', { 'llama.rope.scale_linear': float(2) })).toMatchObject({
      rope_scaling: { rope_type: 'linear', factor: 2 },
    });
    const yarn = await config('llama', {
      'llama.rope.scaling.type': str('yarn'),
      'llama.rope.scaling.factor': float(4),
      'llama.rope.scaling.original_context_length': uint(16),
    });
    expect(yarn.rope_scaling).toEqual({ rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16 });
    expect(await config('llama', { 'llama.rope.scaling.type': str('none') })).not.toHaveProperty('rope_scaling');
  });

  test("Llama 3's divisors are recognised, others are kept as they are", async () => {
    // factor 8, original length 32, blended from 1 to 4: the formula of transformers' modeling_rope_utils.py.
    const blend = (wavelength: number) => Math.min(Math.max((32 / wavelength - 1) / 3, 0), 1);
    const divisors = Array.from({ length: 8 }, (_, i) => {
      const share = blend(2 * Math.PI * 10_000 ** (i / 8));
      return 1 / ((1 - share) / 8 + share);
    });
    expect((await config('llama', wide, pairs(divisors))).rope_scaling).toEqual({
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    });
    const odd = [1, 1, 1.25, 3, 4, 5, 6, 7.5];
    expect((await config('llama', wide, pairs(odd))).rope_scaling).toMatchObject({
      rope_type: 'longrope',
      short_factor: odd,
      long_factor: odd,
      attention_factor: 1,
    });
  });

  test('divisors that are too few, or not above 0, are refused by name', async () => {
    for (const factors of [
      [1, 2],
      [1, 1, 1, 1, 0, 1, 1, 1],
    ]) {
      expect(await errorOf(config('llama', wide, pairs(factors)))).toMatchObject({ tensor: 'rope_freqs.weight' });
    }
  });

  test("Phi-3's two lists", async () => {
    const lists = [vector('rope_factors_short.weight', [1, 1.1]), vector('rope_factors_long.weight', [1, 3.7])];
    const more = {
      'phi3.rope.scaling.original_context_length': uint(16),
      'phi3.rope.scaling.attn_factor': float(1.19),
    };
    expect(await config('phi3', more, lists)).toMatchObject({
      original_max_position_embeddings: 16,
      rope_scaling: { rope_type: 'longrope', short_factor: [1, 1.1], long_factor: [1, 3.7], attention_factor: 1.19 },
    });
  });
});
