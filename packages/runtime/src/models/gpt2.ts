import type { ActivationName, GraphBuilder, Value } from '@airllm/kernels';
import type { Architecture } from './architecture';
import type { ModelConfig } from './model';

// GPT-2; transformers' modeling_gpt2.py. Its Conv1D layers store [in, out]; what was made from GGUF has [out, in], which
// alone can be quantised, and says so in its config.

const LAYOUTS = ['in,out', 'out,in'] as const;

export interface Gpt2Config extends ModelConfig {
  readonly intermediateSize: number;
  readonly headCount: number;
  readonly normEps: number;
  readonly activation: ActivationName;
  /** Scores are divided by √(head width). */
  readonly scaleAttention: boolean;
  /** Scores of layer i are divided by i + 1 too. */
  readonly scaleByLayer: boolean;
  readonly layout: (typeof LAYOUTS)[number];
}

export const gpt2: Architecture<Gpt2Config> = {
  modelType: 'gpt2',
  /** Causal masks, saved by old versions. */
  ignoredTensors: [/(^|\.)attn\.(bias|masked_bias)$/],

  readConfig(config) {
    config.refuse('add_cross_attention', [false]);
    const hiddenSize = config.int('n_embd', { default: 768 });
    const headCount = config.int('n_head', { default: 12 });
    config.headDim(hiddenSize, headCount);
    return {
      modelType: 'gpt2',
      vocabSize: config.int('vocab_size', { default: 50_257 }),
      hiddenSize,
      layerCount: config.layerCount('n_layer', { default: 12 }),
      maxPositions: config.int('n_positions', { default: 1024 }),
      tiedEmbeddings: config.bool('tie_word_embeddings', { default: true }),
      intermediateSize: config.optionalInt('n_inner') ?? 4 * hiddenSize,
      headCount,
      normEps: config.number('layer_norm_epsilon', { default: 1e-5, min: 0 }),
      activation: config.activation('activation_function', { default: 'gelu_new' }),
      scaleAttention: config.bool('scale_attn_weights', { default: true }),
      scaleByLayer: config.bool('scale_attn_by_inverse_layer_idx', { default: false }),
      layout: config.oneOf('conv1d_layout', LAYOUTS, { default: 'in,out' }),
    };
  },

  forward(model, config) {
    const { vocabSize, hiddenSize, maxPositions, normEps: eps } = config;
    if (config.tiedEmbeddings) model.tie('lm_head.weight', 'transformer.wte.weight');
    model.embedding('transformer.', (b) => {
      const token = b.embed('wte', vocabSize, hiddenSize);
      const position = b.embed('wpe', maxPositions, hiddenSize, { by: 'position' });
      b.output('hidden', b.add(token, position));
    });
    for (let i = 0; i < config.layerCount; i++) {
      model.layer(`transformer.h.${i}.`, (b) => {
        let hidden = b.input('hidden', hiddenSize);
        hidden = b.add(hidden, attention(b, b.layerNorm(hidden, 'ln_1', { eps }), config, i));
        hidden = b.add(hidden, mlp(b, b.layerNorm(hidden, 'ln_2', { eps }), config));
        b.output('hidden', hidden);
      });
    }
    model.head('', (b) => {
      const hidden = b.layerNorm(b.input('hidden', hiddenSize), 'transformer.ln_f', { eps });
      b.output('logits', b.linear(hidden, 'lm_head', vocabSize));
    });
  },
};

function attention(b: GraphBuilder, x: Value, config: Gpt2Config, index: number): Value {
  const { hiddenSize, headCount: heads, layout } = config;
  const headDim = hiddenSize / heads;
  const parts = [hiddenSize, hiddenSize, hiddenSize];
  const fused = b.linear(x, 'attn.c_attn', 3 * hiddenSize, { bias: true, layout, parts });
  const [q, k, v] = b.split(fused, parts) as [Value, Value, Value];
  const scale = (config.scaleAttention ? headDim ** -0.5 : 1) / (config.scaleByLayer ? index + 1 : 1);
  const seen = b.attention(q, k, v, { heads, kvHeads: heads, headDim, scale });
  return b.linear(seen, 'attn.c_proj', hiddenSize, { bias: true, layout });
}

function mlp(b: GraphBuilder, x: Value, config: Gpt2Config): Value {
  const { hiddenSize, intermediateSize, layout } = config;
  const up = b.linear(x, 'mlp.c_fc', intermediateSize, { bias: true, layout });
  return b.linear(b.activation(up, config.activation), 'mlp.c_proj', hiddenSize, { bias: true, layout });
}
