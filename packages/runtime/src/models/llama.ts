import type { ActivationName, GraphBuilder, RopeSpec, Value } from '@airllm/kernels';
import type { Architecture } from './architecture';
import type { ModelBuilder } from './builder';
import type { ConfigReader } from './config-reader';
import type { ModelConfig } from './model';
import { type RopeContext, readRope } from './rope-config';

// Llama 1 to 3 (https://arxiv.org/abs/2302.13971, 2407.21783); transformers' modeling_llama.py. Most decoders of today
// are this one with a detail changed, and import the pieces below.

export interface LlamaConfig extends ModelConfig {
  readonly intermediateSize: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headDim: number;
  readonly normEps: number;
  readonly activation: ActivationName;
  readonly rope: RopeSpec;
  /** Biases of q, k and v; of the attention's output; of the MLP's three. */
  readonly bias: { readonly qkv: boolean; readonly out: boolean; readonly mlp: boolean };
  /** Sliding window of each layer; undefined sees everything. */
  readonly windows: readonly (number | undefined)[];
}

/** What an absent key means for a family; defaults of its config class in transformers. */
export interface LlamaDefaults {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  /** @defaultValue as many as heads */
  readonly kvHeadCount?: number;
  /** @defaultValue hidden width / heads */
  readonly headDim?: number;
  readonly maxPositions: number;
  readonly normEps: number;
  readonly rope?: Partial<RopeContext>;
}

/** Reads what Llama and its relatives have in common: no biases, no windows. */
export function readDecoderConfig(config: ConfigReader, modelType: string, defaults: LlamaDefaults): LlamaConfig {
  const hiddenSize = config.int('hidden_size', { default: defaults.hiddenSize });
  const headCount = config.int('num_attention_heads', { default: defaults.headCount });
  const kvDefault = defaults.kvHeadCount === undefined ? {} : { default: defaults.kvHeadCount };
  const headDim = config.has('head_dim') ? undefined : defaults.headDim;
  const maxPositions = config.int('max_position_embeddings', { default: defaults.maxPositions });
  const layerCount = config.layerCount('num_hidden_layers', { default: defaults.layerCount });
  const width = headDim ?? config.headDim(hiddenSize, headCount);
  return {
    modelType,
    vocabSize: config.int('vocab_size', { default: defaults.vocabSize }),
    hiddenSize,
    layerCount,
    maxPositions,
    tiedEmbeddings: config.bool('tie_word_embeddings', { default: false }),
    intermediateSize: config.int('intermediate_size', { default: defaults.intermediateSize }),
    headCount,
    kvHeadCount: config.kvHeads(headCount, kvDefault),
    headDim: width,
    normEps: config.number('rms_norm_eps', { default: defaults.normEps, min: 0 }),
    activation: config.activation('hidden_act', { default: 'silu' }),
    rope: readRope(config, { headDim: width, maxPositions, ...defaults.rope }),
    bias: { qkv: false, out: false, mlp: false },
    windows: new Array(layerCount).fill(undefined),
  };
}

export const llama: Architecture<LlamaConfig> = {
  modelType: 'llama',

  readConfig(config) {
    const read = readDecoderConfig(config, 'llama', {
      vocabSize: 32_000,
      hiddenSize: 4096,
      intermediateSize: 11_008,
      layerCount: 32,
      headCount: 32,
      maxPositions: 2048,
      normEps: 1e-6,
    });
    const attention = config.bool('attention_bias', { default: false });
    const mlp = config.bool('mlp_bias', { default: false });
    return { ...read, bias: { qkv: attention, out: attention, mlp } };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => decoderLayer(b, config, index));
  },
};

/** Embedding, layers and head of a causal language model, with the names that transformers gives them. */
export function decoder(
  model: ModelBuilder,
  config: LlamaConfig,
  layer: (b: GraphBuilder, index: number) => void,
): void {
  const { vocabSize, hiddenSize, layerCount, normEps: eps } = config;
  if (config.tiedEmbeddings) model.tie('lm_head.weight', 'model.embed_tokens.weight');
  model.embedding('model.', (b) => b.output('hidden', b.embed('embed_tokens', vocabSize, hiddenSize)));
  for (let i = 0; i < layerCount; i++) model.layer(`model.layers.${i}.`, (b) => layer(b, i));
  model.head('', (b) => {
    const hidden = b.rmsNorm(b.input('hidden', hiddenSize), 'model.norm', { eps });
    b.output('logits', b.linear(hidden, 'lm_head', vocabSize));
  });
}

/** Attention and MLP, each normed before and added to what came in. */
export function decoderLayer(
  b: GraphBuilder,
  config: LlamaConfig,
  index: number,
  parts: { attention?: typeof attention; mlp?: typeof mlp } = {},
): void {
  const eps = config.normEps;
  let hidden = b.input('hidden', config.hiddenSize);
  const attend = parts.attention ?? attention;
  hidden = b.add(hidden, attend(b, b.rmsNorm(hidden, 'input_layernorm', { eps }), config, index));
  const transform = parts.mlp ?? mlp;
  hidden = b.add(hidden, transform(b, b.rmsNorm(hidden, 'post_attention_layernorm', { eps }), config));
  b.output('hidden', hidden);
}

/** `sinks`: the tensor of logits that join the softmax, for families that have one. */
export function attention(b: GraphBuilder, x: Value, config: LlamaConfig, index: number, sinks?: string): Value {
  const { headCount: heads, kvHeadCount: kvHeads, headDim, rope, bias } = config;
  const q = b.linear(x, 'self_attn.q_proj', heads * headDim, { bias: bias.qkv });
  const k = b.linear(x, 'self_attn.k_proj', kvHeads * headDim, { bias: bias.qkv });
  const v = b.linear(x, 'self_attn.v_proj', kvHeads * headDim, { bias: bias.qkv });
  const seen = b.attention(b.rope(q, rope, { headDim }), b.rope(k, rope, { headDim }), v, {
    heads,
    kvHeads,
    headDim,
    window: config.windows[index],
    sinks,
  });
  return b.linear(seen, 'self_attn.o_proj', config.hiddenSize, { bias: bias.out });
}

export function mlp(b: GraphBuilder, x: Value, config: LlamaConfig): Value {
  const { intermediateSize, hiddenSize, activation } = config;
  const bias = config.bias.mlp;
  const gate = b.linear(x, 'mlp.gate_proj', intermediateSize, { bias });
  const up = b.linear(x, 'mlp.up_proj', intermediateSize, { bias });
  return b.linear(b.gated(gate, up, activation), 'mlp.down_proj', hiddenSize, { bias });
}
