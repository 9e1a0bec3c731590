import type { GraphBuilder, RopeSpec, Value } from '@airllm/kernels';
import { ConfigError } from '../errors';
import type { Architecture } from './architecture';
import { ConfigReader } from './config-reader';
import { type LlamaConfig, mlp, readDecoderConfig } from './llama';
import { slidingWindow } from './mistral';
import { ropeSpec } from './rope-config';

// Gemma 3, text only (https://arxiv.org/abs/2503.19786); transformers' modeling_gemma3.py. Unlike Llama: a norm before
// and after each half, norms of (1 + weight), q and k normed per head, five local layers with a window and their own
// rotary base for each global one, scaled embeddings, and scores scaled by a number from the config.

type LayerType = 'sliding_attention' | 'full_attention';
const LAYER_TYPES: readonly LayerType[] = ['sliding_attention', 'full_attention'];

export interface Gemma3Config extends LlamaConfig {
  readonly layerTypes: readonly LayerType[];
  readonly ropes: Readonly<Record<LayerType, RopeSpec>>;
  readonly queryPreAttentionScalar: number;
  readonly finalSoftcap: number | undefined;
}

export const gemma3Text: Architecture<Gemma3Config> = {
  modelType: 'gemma3_text',

  readConfig(config) {
    config.refuse('use_bidirectional_attention', [false]);
    // The config class has the key, but the published forward pass never applies it.
    config.refuse('attn_logit_softcapping');
    const read = readDecoderConfig(withoutRope(config), 'gemma3_text', {
      vocabSize: 262_208,
      hiddenSize: 2304,
      intermediateSize: 9216,
      layerCount: 26,
      headCount: 8,
      kvHeadCount: 4,
      headDim: 256,
      maxPositions: 131_072,
      normEps: 1e-6,
    });
    const bias = config.bool('attention_bias', { default: false });
    const layerTypes = readLayerTypes(config, read.layerCount);
    const window = slidingWindow(config, 4096);
    return {
      ...read,
      tiedEmbeddings: config.bool('tie_word_embeddings', { default: true }),
      activation: config.activation('hidden_activation', { default: 'gelu_pytorch_tanh' }),
      bias: { qkv: bias, out: bias, mlp: false },
      windows: layerTypes.map((type) => (type === 'sliding_attention' ? window : undefined)),
      layerTypes,
      ropes: readRopes(config, read.headDim, read.maxPositions),
      queryPreAttentionScalar: config.number('query_pre_attn_scalar', { default: 256, min: Number.MIN_VALUE }),
      finalSoftcap: config.optionalNumber('final_logit_softcapping', { min: Number.MIN_VALUE }),
    };
  },

  forward(model, config) {
    const { vocabSize, hiddenSize, finalSoftcap } = config;
    if (config.tiedEmbeddings) model.tie('lm_head.weight', 'model.embed_tokens.weight');
    model.embedding('model.', (b) => {
      b.output('hidden', b.embed('embed_tokens', vocabSize, hiddenSize, { scale: Math.fround(hiddenSize ** 0.5) }));
    });
    for (let i = 0; i < config.layerCount; i++) model.layer(`model.layers.${i}.`, (b) => layer(b, config, i));
    model.head('', (b) => {
      const logits = b.linear(norm(b, b.input('hidden', hiddenSize), 'model.norm', config), 'lm_head', vocabSize);
      b.output('logits', finalSoftcap === undefined ? logits : b.softcap(logits, finalSoftcap));
    });
  },
};

/** Rotary parameters are read by `readRopes`; the shared reader must not stumble over their other form. */
function withoutRope(config: ConfigReader): ConfigReader {
  const { rope_parameters, rope_scaling, ...rest } = config.raw;
  return new ConfigReader(rest, config.path);
}

/** `layer_types`, else every `sliding_window_pattern`-th layer is global (configs of transformers 4). */
function readLayerTypes(config: ConfigReader, layerCount: number): readonly LayerType[] {
  const pattern = config.int('sliding_window_pattern', { default: 6 });
  return (
    config.layerTypes(layerCount, LAYER_TYPES) ??
    Array.from({ length: layerCount }, (_, i) => ((i + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention'))
  );
}

/** Per layer type under `rope_parameters`; in older files `rope_theta` and `rope_scaling` are the global layers'. */
function readRopes(config: ConfigReader, headDim: number, maxPositions: number): Gemma3Config['ropes'] {
  const perType = config.object('rope_parameters');
  const odd = perType?.keys().find((key) => !(LAYER_TYPES as readonly string[]).includes(key));
  if (odd !== undefined) {
    const expected = `only the layer types ${LAYER_TYPES.join(' and ')}`;
    throw new ConfigError({ key: `rope_parameters.${odd}`, found: perType?.raw[odd], expected });
  }
  const spec = (type: LayerType, scaling: ConfigReader | undefined, thetaKey: string, theta: number) => {
    const own = perType?.object(type);
    const path = scaling?.path ?? own?.path ?? `rope_parameters.${type}.`;
    const parameters = new ConfigReader({ ...own?.raw, ...scaling?.raw }, path);
    const base = parameters.optionalNumber('rope_theta') ?? config.number(thetaKey, { default: theta });
    return ropeSpec(parameters, { headDim, maxPositions, theta: base });
  };
  return {
    full_attention: spec('full_attention', config.object('rope_scaling'), 'rope_theta', 1_000_000),
    sliding_attention: spec('sliding_attention', undefined, 'rope_local_base_freq', 10_000),
  };
}

function layer(b: GraphBuilder, config: Gemma3Config, index: number): void {
  let hidden = b.input('hidden', config.hiddenSize);
  const attended = attention(b, norm(b, hidden, 'input_layernorm', config), config, index);
  hidden = b.add(hidden, norm(b, attended, 'post_attention_layernorm', config));
  const transformed = mlp(b, norm(b, hidden, 'pre_feedforward_layernorm', config), config);
  hidden = b.add(hidden, norm(b, transformed, 'post_feedforward_layernorm', config));
  b.output('hidden', hidden);
}

function norm(b: GraphBuilder, x: Value, name: string, config: Gemma3Config, groupWidth = x.width): Value {
  return b.rmsNorm(x, name, { eps: config.normEps, groupWidth, weightOffset: 1 });
}

function attention(b: GraphBuilder, x: Value, config: Gemma3Config, index: number): Value {
  const { headCount: heads, kvHeadCount: kvHeads, headDim } = config;
  const bias = config.bias.qkv;
  const rope = config.ropes[config.layerTypes[index]!];
  const q = norm(b, b.linear(x, 'self_attn.q_proj', heads * headDim, { bias }), 'self_attn.q_norm', config, headDim);
  const k = norm(b, b.linear(x, 'self_attn.k_proj', kvHeads * headDim, { bias }), 'self_attn.k_norm', config, headDim);
  const v = b.linear(x, 'self_attn.v_proj', kvHeads * headDim, { bias });
  const seen = b.attention(b.rope(q, rope, { headDim }), b.rope(k, rope, { headDim }), v, {
    heads,
    kvHeads,
    headDim,
    scale: config.queryPreAttentionScalar ** -0.5,
    window: config.windows[index],
  });
  return b.linear(seen, 'self_attn.o_proj', config.hiddenSize, { bias: config.bias.out });
}
