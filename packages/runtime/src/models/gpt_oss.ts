import type { GraphBuilder, Value } from '@airllm/kernels';
import type { Architecture } from './architecture';
import { ConfigReader } from './config-reader';
import { attention, decoder, decoderLayer, type LlamaConfig, readDecoderConfig } from './llama';
import { slidingWindow } from './mistral';
import type { StackedTensor } from './stacked';

// gpt-oss 20b and 120b (https://arxiv.org/abs/2508.10925); transformers' modeling_gpt_oss.py. Unlike Llama: biases
// everywhere, a window in every other layer, an attention sink per head, and for the MLP routed experts whose gate and up
// alternate in one matrix and are clamped.

export interface GptOssConfig extends LlamaConfig {
  readonly expertCount: number;
  readonly expertsPerToken: number;
  /** Of gate (above) and up (both sides). */
  readonly limit: number;
}

/** Published weights are stacked: in bf16 `[experts, in, out]`. (MXFP4 ones come expert by expert, `[out, in]`.) */
const STACKED: readonly StackedTensor[] = [
  {
    name: /^(.*\.mlp\.experts)\.(gate_up_proj|down_proj)$/,
    parts: ([experts, matrix], e) => [`${experts}.${e}.${matrix}.weight`],
  },
  {
    name: /^(.*\.mlp\.experts)\.(gate_up_proj|down_proj)_bias$/,
    parts: ([experts, matrix], e) => [`${experts}.${e}.${matrix}.bias`],
  },
];

/** What the config class takes where the file has no rotary parameters. */
const DEFAULT_ROPE = {
  rope_type: 'yarn',
  factor: 32,
  beta_fast: 32,
  beta_slow: 1,
  truncate: false,
  original_max_position_embeddings: 4096,
};

const LAYER_TYPES = ['sliding_attention', 'full_attention'] as const;

export const gptOss: Architecture<GptOssConfig> = {
  modelType: 'gpt_oss',
  stackedTensors: STACKED,

  readConfig(given) {
    const hasRope = given.has('rope_scaling') || given.has('rope_parameters');
    const config = hasRope ? given : new ConfigReader({ ...given.raw, rope_parameters: DEFAULT_ROPE }, given.path);
    // Its sigmoid's gain: this one is an activation of its own, x·σ(1.702x).
    config.refuse('swiglu_alpha', [1.702]);
    const read = readDecoderConfig(config, 'gpt_oss', {
      vocabSize: 201_088,
      hiddenSize: 2880,
      intermediateSize: 2880,
      layerCount: 36,
      headCount: 64,
      kvHeadCount: 8,
      headDim: 64,
      maxPositions: 131_072,
      normEps: 1e-5,
      rope: { theta: 150_000 },
    });
    const bias = config.bool('attention_bias', { default: true });
    const window = slidingWindow(config, 128);
    const types = config.layerTypes(read.layerCount, LAYER_TYPES);
    const expertCount = config.int('num_local_experts', { default: 128, max: 4096 });
    return {
      ...read,
      bias: { qkv: bias, out: bias, mlp: true },
      windows: read.windows.map((_, i) =>
        (types?.[i] ?? LAYER_TYPES[i % 2]) === 'sliding_attention' ? window : undefined,
      ),
      expertCount,
      expertsPerToken: config.int('num_experts_per_tok', { default: 4, max: expertCount }),
      limit: config.number('swiglu_limit', { default: 7, min: Number.MIN_VALUE }),
    };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => {
      const layout = model.has(`model.layers.${index}.mlp.experts.gate_up_proj`) ? 'in,out' : 'out,in';
      decoderLayer(b, config, index, {
        attention: (b, x, config, index) => attention(b, x, config, index, 'self_attn.sinks'),
        mlp: (b, x) => experts(b, x, config, layout),
      });
    });
  },
};

function experts(b: GraphBuilder, x: Value, config: GptOssConfig, layout: 'in,out' | 'out,in'): Value {
  const { hiddenSize, intermediateSize, expertCount, limit } = config;
  const options = { bias: true, layout };
  return b.experts(x, b.linear(x, 'mlp.router', expertCount, { bias: true }), {
    count: expertCount,
    topK: config.expertsPerToken,
    // A softmax over the chosen logits alone is one over all, divided by the chosen ones' sum.
    normalise: true,
    prefix: (e) => `mlp.experts.${e}`,
    expert: (b, x, prefix) => {
      const both = b.linear(x, `${prefix}.gate_up_proj`, 2 * intermediateSize, options);
      const [gate, up] = b.deinterleave(both, 2) as [Value, Value];
      return b.linear(b.gated(gate, up, 'gelu_quick', { limit, shift: 1 }), `${prefix}.down_proj`, hiddenSize, options);
    },
  });
}
