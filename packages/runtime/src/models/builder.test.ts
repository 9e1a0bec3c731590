import { type DType, MetaTensor } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { ModelTensorError } from '../errors';
import { storedTensors } from './model';
import { buildModel } from './registry';

const config = {
  model_type: 'llama',
  hidden_size: 32,
  num_attention_heads: 4,
  intermediate_size: 48,
  num_hidden_layers: 2,
  vocab_size: 50,
};
const tied = { ...config, tie_word_embeddings: true };

/** The tensors a config needs, with changes: null removes, a shape or dtype replaces, new names add. */
function tensors(
  raw: object,
  changes: Record<string, null | { shape?: readonly number[]; dtype?: DType }> = {},
  rename: (name: string) => string = (name) => name,
): ReadonlyMap<string, MetaTensor> {
  const stored = storedTensors(buildModel(raw, { dtype: 'BF16' }));
  const made = new Map<string, { shape: readonly number[]; dtype: DType }>(
    stored.map((tensor) => [tensor.name, tensor]),
  );
  for (const [name, change] of Object.entries(changes)) {
    if (change === null) made.delete(name);
    else made.set(name, { shape: change.shape ?? made.get(name)?.shape ?? [1], dtype: change.dtype ?? 'BF16' });
  }
  return new Map(
    [...made].map(([name, { shape, dtype }]) => [rename(name), new MetaTensor({ name: rename(name), dtype, shape })]),
  );
}

function refusal(raw: object, checkpoint: ReadonlyMap<string, MetaTensor>): ModelTensorError {
  try {
    buildModel(raw, { tensors: checkpoint });
  } catch (error) {
    if (ModelTensorError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('expected a ModelTensorError');
}

describe('tensors', () => {
  test('are found with and without the prefix of the base model', () => {
    const bare = tensors(config, {}, (name) => name.replace(/^model\./, ''));
    const model = buildModel(config, { tensors: bare });
    expect(model.tensors.size).toBe(bare.size);
    expect(model.layers[1]!.weights[0]!.name).toBe('layers.1.input_layernorm.weight');
  });

  test('all problems are named in one error', () => {
    const error = refusal(
      config,
      tensors(config, {
        'model.layers.0.mlp.up_proj.weight': null,
        'model.norm.weight': null,
        'model.layers.1.self_attn.q_proj.weight': { shape: [32, 31] },
        'model.layers.1.mlp.down_proj.weight': { dtype: 'U8' },
        'model.layers.0.self_attn.q_proj.bias': { shape: [32] },
        'model.layers.2.input_layernorm.weight': { shape: [32] },
      }),
    );
    expect(error).toMatchObject({
      modelType: 'llama',
      missing: ['model.layers.0.mlp.up_proj.weight', 'model.norm.weight'],
      misshapen: [{ name: 'model.layers.1.self_attn.q_proj.weight', expected: '[32,32]', found: '[32,31]' }],
      uncomputable: [{ name: 'model.layers.1.mlp.down_proj.weight', found: 'U8' }],
      unexpected: ['model.layers.0.self_attn.q_proj.bias', 'model.layers.2.input_layernorm.weight'],
    });
    for (const name of ['up_proj', 'q_proj', 'down_proj', 'q_proj.bias']) expect(error.message).toContain(name);
  });

  test('thousands of missing ones make a short message', () => {
    const error = refusal({ ...config, num_hidden_layers: 300 }, tensors(config));
    expect(error.missing.length).toBe(298 * 9);
    expect(error.message.length).toBeLessThan(1000);
    expect(error.message).toContain(`${298 * 9 - 4} more`);
  });

  test('an expert that lacks a tensor is a missing tensor, not a broken graph', () => {
    const mixtral = { ...config, model_type: 'mixtral', num_local_experts: 2, num_key_value_heads: 4 };
    const missing = 'model.layers.0.block_sparse_moe.experts.1.w2.weight';
    expect(refusal(mixtral, tensors(mixtral, { [missing]: null })).missing).toEqual([missing]);
  });

  test('saved buffers and tensors without elements are passed over', () => {
    const extra = {
      'model.layers.0.self_attn.rotary_emb.inv_freq': { shape: [4], dtype: 'F32' as const },
      'unused.empty': { shape: [0, 16] },
    };
    expect(buildModel(config, { tensors: tensors(config, extra) }).tensors.size).toBe(tensors(config).size);
    const gpt2 = { model_type: 'gpt2', n_embd: 32, n_head: 4, n_layer: 1, vocab_size: 50, n_positions: 16 };
    const masks = { 'transformer.h.0.attn.bias': { shape: [1, 1, 16, 16], dtype: 'U8' as const } };
    const bare = tensors(gpt2, masks, (name) => name.replace(/^transformer\./, ''));
    expect(buildModel(gpt2, { tensors: bare }).tensors.has('h.0.attn.bias')).toBe(false);
    expect(refusal(config, tensors(config, masks)).unexpected).toEqual(Object.keys(masks));
  });
});

describe('tied embeddings', () => {
  const embed = 'model.embed_tokens.weight';
  const head = 'lm_head.weight';
  const names = (raw: object, changes: Parameters<typeof tensors>[1]) => {
    const model = buildModel(raw, { tensors: tensors(raw, changes) });
    const [table] = model.embedding.weights;
    return { embedding: table!.name, head: model.head.weights.at(-1)!.name, count: model.parameterCount };
  };
  const { parameterCount } = buildModel(tied, { dtype: 'BF16' });

  test('may be stored under either name', () => {
    expect(names(tied, {})).toEqual({ embedding: embed, head: embed, count: parameterCount });
    const stored = { [embed]: null, [head]: { shape: [50, 32] } };
    expect(names(tied, stored)).toEqual({ embedding: head, head, count: parameterCount });
  });

  test('stored twice are read each where it is used, and counted once', () => {
    expect(names(tied, { [head]: { shape: [50, 32] } })).toEqual({ embedding: embed, head, count: parameterCount });
  });

  test('untied ones must both be there', () => {
    expect(refusal(config, tensors(config, { [head]: null })).missing).toEqual([head]);
    expect(buildModel(config, { dtype: 'BF16' }).parameterCount).toBe(parameterCount + 50 * 32);
  });
});
