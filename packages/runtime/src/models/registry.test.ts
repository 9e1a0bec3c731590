import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ConfigError, UnsupportedConfigError } from '../errors';
import type { Architecture } from './architecture';
import { ARCHITECTURES, architectureOf, readConfig } from './registry';

function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('expected an error');
}

test('the registry is the folder, sorted', async () => {
  const files = readdirSync(fileURLToPath(new URL('.', import.meta.url))).filter((name) => /^[^.]+\.ts$/.test(name));
  const found: Record<string, string> = {};
  for (const file of files) {
    const exported = Object.values((await import(/* @vite-ignore */ new URL(file, import.meta.url).href)) as object);
    for (const value of exported as Partial<Architecture>[]) {
      if (typeof value?.forward === 'function' && typeof value.modelType === 'string') found[value.modelType] = file;
    }
  }
  expect(ARCHITECTURES.map(({ modelType }) => modelType)).toEqual(Object.keys(found).sort());
  for (const [modelType, file] of Object.entries(found)) expect(file).toBe(`${modelType}.ts`);
});

describe('an absent key means what it means in transformers', () => {
  // From the config classes of transformers 5.12.1, which agree with what readConfig makes of their own dumps.
  test.each([
    [
      'gemma3_text',
      { hiddenSize: 2304, layerCount: 26, vocabSize: 262_208, tiedEmbeddings: true, headDim: 256, kvHeadCount: 4 },
    ],
    ['gpt2', { hiddenSize: 768, layerCount: 12, vocabSize: 50_257, tiedEmbeddings: true, intermediateSize: 3072 }],
    [
      'gpt_oss',
      {
        hiddenSize: 2880,
        headDim: 64,
        kvHeadCount: 8,
        expertCount: 128,
        expertsPerToken: 4,
        limit: 7,
        bias: { qkv: true, out: true, mlp: true },
        rope: { theta: 150_000, scaling: { type: 'yarn', factor: 32, truncate: false } },
      },
    ],
    [
      'llama',
      {
        hiddenSize: 4096,
        layerCount: 32,
        intermediateSize: 11_008,
        kvHeadCount: 32,
        maxPositions: 2048,
        normEps: 1e-6,
      },
    ],
    ['ministral', { kvHeadCount: 8, intermediateSize: 14_336, maxPositions: 131_072 }],
    ['mistral', { kvHeadCount: 8, intermediateSize: 14_336, maxPositions: 131_072 }],
    ['mixtral', { kvHeadCount: 8, normEps: 1e-5, expertCount: 8, expertsPerToken: 2 }],
    ['phi3', { hiddenSize: 3072, vocabSize: 32_064, intermediateSize: 8192, maxPositions: 4096, normEps: 1e-5 }],
    ['qwen2', { kvHeadCount: 32, vocabSize: 151_936, intermediateSize: 22_016, headDim: 128 }],
    [
      'qwen3_moe',
      { kvHeadCount: 4, headDim: 64, expertCount: 128, expertsPerToken: 8, expertSize: 768, normalise: false },
    ],
    ['qwen3', { kvHeadCount: 32, vocabSize: 151_936, headDim: 128, bias: { qkv: false, out: false, mlp: false } }],
  ])('%s', (model_type, expected) => {
    expect(readConfig({ model_type })).toMatchObject({ modelType: model_type, ...expected });
  });

  test('windows', () => {
    const windows = (raw: object) => (readConfig(raw) as unknown as { windows: unknown[] }).windows;
    const last = (raw: object) => windows(raw).at(-1);
    expect(last({ model_type: 'mistral' })).toBe(4096);
    expect(last({ model_type: 'mistral', sliding_window: null })).toBeUndefined();
    expect(last({ model_type: 'mixtral' })).toBeUndefined();
    expect(last({ model_type: 'qwen2', sliding_window: 8 })).toBeUndefined();
    expect(
      windows({
        model_type: 'qwen2',
        num_hidden_layers: 4,
        use_sliding_window: true,
        max_window_layers: 3,
        sliding_window: 8,
      }),
    ).toEqual([undefined, undefined, undefined, 8]);
    expect(
      windows({ model_type: 'gemma3_text', num_hidden_layers: 4, sliding_window_pattern: 2, sliding_window: 8 }),
    ).toEqual([8, undefined, 8, undefined]);
  });

  test('gemma3 reads its two rotary bases in both forms', () => {
    const ropes = (raw: object) =>
      (readConfig({ model_type: 'gemma3_text', ...raw }) as unknown as { ropes: unknown }).ropes;
    const old = ropes({ rope_theta: 5e5, rope_local_base_freq: 2e4, rope_scaling: { rope_type: 'linear', factor: 8 } });
    expect(old).toEqual({
      full_attention: { dim: 256, theta: 5e5, scaling: { type: 'linear', factor: 8 } },
      sliding_attention: { dim: 256, theta: 2e4, scaling: { type: 'default' } },
    });
    const parameters = {
      full_attention: { rope_type: 'linear', factor: 8, rope_theta: 5e5 },
      sliding_attention: { rope_type: 'default', rope_theta: 2e4 },
    };
    expect(ropes({ rope_parameters: parameters })).toEqual(old);
    expect(ropes({})).toMatchObject({ full_attention: { theta: 1e6 }, sliding_attention: { theta: 1e4 } });
  });

  test('a longrope phi3 says where it switches', () => {
    const factors = Array.from({ length: 48 }, () => 1);
    const rope_scaling = { type: 'su', short_factor: factors, long_factor: factors };
    const longer = { model_type: 'phi3', max_position_embeddings: 131_072, rope_scaling };
    expect(readConfig(longer).ropeSwitchLength).toBe(4096);
    expect(readConfig({ ...longer, original_max_position_embeddings: 2048 }).ropeSwitchLength).toBe(2048);
    expect(readConfig({ model_type: 'phi3' }).ropeSwitchLength).toBeUndefined();
  });
});

describe('what is not implemented is refused by its key', () => {
  test.each([
    [{ model_type: 'unheard-of' }, 'model_type'],
    [{}, 'model_type'],
    [{ model_type: 'llama', hidden_act: 'mish' }, 'hidden_act'],
    [{ model_type: 'llama', rope_scaling: { type: 'ntk' } }, 'rope_scaling.type'],
    [{ model_type: 'qwen2', layer_types: Array.from({ length: 32 }, () => 'linear_attention') }, 'layer_types'],
    [{ model_type: 'gemma3_text', attn_logit_softcapping: 50 }, 'attn_logit_softcapping'],
    [{ model_type: 'gemma3_text', use_bidirectional_attention: true }, 'use_bidirectional_attention'],
    [{ model_type: 'gpt2', add_cross_attention: true }, 'add_cross_attention'],
    [{ model_type: 'phi3', rope_scaling: { type: 'linear', factor: 2 } }, 'rope_scaling.type'],
  ])('%j', (raw, key) => {
    const error = errorOf(() => readConfig(raw));
    expect(UnsupportedConfigError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ key });
  });

  test('nonsense is a ConfigError', () => {
    for (const raw of [null, [], 'x', 3]) expect(ConfigError.isInstance(errorOf(() => readConfig(raw)))).toBe(true);
    const topK = errorOf(() => readConfig({ model_type: 'mixtral', num_local_experts: 4, num_experts_per_tok: 5 }));
    expect(topK).toMatchObject({ code: 'ERR_CONFIG', key: 'num_experts_per_tok' });
    expect(architectureOf('constructor')).toBeUndefined();
  });
});
