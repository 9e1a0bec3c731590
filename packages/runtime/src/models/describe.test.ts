import { openCheckpoint, openCheckpointIndex } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { cpuSeconds } from '../../../../.ci/cpu-seconds';
import { haveShared, shared, sharedFolders } from '../testing/shared';
import { describeCheckpoint, describeModel } from './describe';
import { stateBytesAt } from './description';
import { buildModel } from './registry';

const llama = {
  model_type: 'llama',
  hidden_size: 64,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 96,
  num_hidden_layers: 3,
  vocab_size: 100,
  max_position_embeddings: 512,
};
const layer = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96 + 2 * 64;

describe('a model of an implemented type', () => {
  test('is described exactly', () => {
    expect(describeModel(buildModel(llama, { dtype: 'BF16' }))).toEqual({
      modelType: 'llama',
      known: true,
      parameters: { count: 3 * layer + 2 * 6400 + 64, exact: true },
      weightBytes: { count: 2 * (3 * layer + 2 * 6400 + 64), exact: true },
      dtypes: [{ dtype: 'BF16', tensors: 30, bytes: 2 * (3 * layer + 2 * 6400 + 64) }],
      layerCount: 3,
      layerBytes: [2 * layer, 2 * layer, 2 * layer],
      embeddingBytes: 12_800,
      headBytes: 12_800 + 128,
      maxPositions: 512,
      state: { groups: [{ layers: 3, window: undefined, bytesPerPosition: 2 * 3 * 2 * 16 * 4 }], exact: true },
      quantisation: undefined,
    });
  });

  test('counts tied embeddings once', () => {
    const tied = describeModel(buildModel({ ...llama, tie_word_embeddings: true }, { dtype: 'F32' }));
    expect(tied.parameters).toEqual({ count: 3 * layer + 6400 + 64, exact: true });
    expect(tied.weightBytes).toEqual({ count: 4 * (3 * layer + 6400 + 64), exact: true });
  });

  test('counts a layer with a window up to the window', () => {
    const { state } = describeCheckpoint({
      ...llama,
      model_type: 'gemma3_text',
      head_dim: 16,
      num_hidden_layers: 7,
      sliding_window: 100,
    });
    const perLayer = 2 * 2 * 16 * 4;
    expect(state!.groups).toEqual([
      { layers: 6, window: 100, bytesPerPosition: 6 * perLayer },
      { layers: 1, window: undefined, bytesPerPosition: perLayer },
    ]);
    expect(stateBytesAt(state!, 80)).toBe(80 * 7 * perLayer);
    expect(stateBytesAt(state!, 1000)).toBe(100 * 6 * perLayer + 1000 * perLayer);
  });

  test('keeps its parameters when its weights are compressed, but not its bytes', () => {
    const described = describeCheckpoint(
      { ...llama, quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } },
      { totalBytes: 1234 },
    );
    expect(described).toMatchObject({
      known: true,
      parameters: { count: 3 * layer + 2 * 6400 + 64, exact: true },
      weightBytes: { count: 1234, exact: true },
      quantisation: 'bitsandbytes',
      layerBytes: [],
    });
  });

  test('falls back to estimates for a variant that is not implemented', () => {
    const odd = { ...llama, rope_parameters: { rope_type: 'spiral' }, torch_dtype: 'float16' };
    expect(describeCheckpoint(odd, { totalBytes: 2000 })).toMatchObject({
      known: false,
      parameters: { count: 1000, exact: false },
    });
  });
});

describe('a model of another type', () => {
  test('is estimated from bytes and dtype', () => {
    const config = { model_type: 'new', dtype: 'bfloat16', n_layer: 4, n_head: 8, n_embd: 128, n_positions: 99 };
    expect(describeCheckpoint(config, { totalBytes: 1e6 })).toMatchObject({
      known: false,
      parameters: { count: 500_000, exact: false },
      layerCount: 4,
      maxPositions: 99,
      state: { groups: [{ layers: 4, window: undefined, bytesPerPosition: 2 * 4 * 8 * 16 * 4 }], exact: false },
    });
    expect(describeCheckpoint({ model_type: 'new' })).toMatchObject({ parameters: undefined, state: undefined });
  });
});

describe.skipIf(!haveShared())('reference data', () => {
  test.each(sharedFolders('giants'))('%s is described in a moment', async (name) => {
    const { result: described, seconds } = await cpuSeconds(async () => {
      const { config, totalBytes } = await openCheckpointIndex(shared(`giants/${name}`));
      return describeCheckpoint(config!, { totalBytes });
    });
    // Well under one on a slow core.
    expect(seconds).toBeLessThan(10);
    expect(described.layerCount).toBeGreaterThan(15);
    expect(described.state!.groups.length).toBeGreaterThan(0);
  });

  // Published sizes, in billions; an estimate may be off by what it cannot see.
  test.each([
    ['falcon-180B-chat', 179.5, false],
    ['Qwen-72B', 72.3, false],
    ['gpt-oss-20b', 20.91, true],
  ])('%s has about %d billion parameters', async (name, billions, exact) => {
    const { config, totalBytes } = await openCheckpointIndex(shared(`giants/${name}`));
    const { parameters } = describeCheckpoint(config!, { totalBytes });
    expect(parameters!.exact).toBe(exact);
    expect(Math.abs(parameters!.count / 1e9 / billions - 1)).toBeLessThan(0.01);
  });

  test('an unknown type with headers at hand is counted tensor by tensor', async () => {
    const checkpoint = await openCheckpoint(shared('golden/falcon'));
    const { parameters, weightBytes, known } = describeCheckpoint(checkpoint.config!, checkpoint);
    expect(known).toBe(false);
    expect(weightBytes!.count).toBe(checkpoint.byteLength);
    expect(parameters!.count).toBe(checkpoint.byteLength / 4);
  });
});
