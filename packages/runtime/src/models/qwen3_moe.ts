import type { GraphBuilder, Value } from '@airllm/kernels';
import { ConfigError } from '../errors';
import type { Architecture } from './architecture';
import type { ConfigReader } from './config-reader';
import { decoder, decoderLayer, type LlamaConfig, mlp, readDecoderConfig } from './llama';
import { slidingWindow } from './mistral';
import { attention } from './qwen3';
import type { StackedTensor } from './stacked';

// Qwen3-MoE (https://arxiv.org/abs/2505.09388): Qwen3 whose MLP is routed experts, in all layers or in some. A window is
// for all layers.

export interface Qwen3MoeConfig extends LlamaConfig {
  readonly expertCount: number;
  readonly expertsPerToken: number;
  readonly expertSize: number;
  /** Divide the chosen experts' scores by their sum. */
  readonly normalise: boolean;
  /** By layer: whether its MLP is routed experts. */
  readonly sparse: readonly boolean[];
}

/** As transformers 5 keeps them in memory. */
const FUSED_EXPERTS: readonly StackedTensor[] = [
  {
    name: /^(.*\.mlp\.experts)\.gate_up_proj$/,
    parts: ([experts], e) => [`${experts}.${e}.gate_proj.weight`, `${experts}.${e}.up_proj.weight`],
  },
  { name: /^(.*\.mlp\.experts)\.down_proj$/, parts: ([experts], e) => [`${experts}.${e}.down_proj.weight`] },
];

export const qwen3Moe: Architecture<Qwen3MoeConfig> = {
  modelType: 'qwen3_moe',
  stackedTensors: FUSED_EXPERTS,

  readConfig(config) {
    const read = readDecoderConfig(config, 'qwen3_moe', {
      vocabSize: 151_936,
      hiddenSize: 2048,
      intermediateSize: 6144,
      layerCount: 24,
      headCount: 32,
      kvHeadCount: 4,
      maxPositions: 32_768,
      normEps: 1e-6,
    });
    const bias = config.bool('attention_bias', { default: false });
    const window = config.bool('use_sliding_window', { default: false }) ? slidingWindow(config, 4096) : undefined;
    const countKey = config.has('num_experts') ? 'num_experts' : 'num_local_experts';
    const expertCount = config.int(countKey, { default: 128, min: 0, max: 4096 });
    return {
      ...read,
      bias: { qkv: bias, out: bias, mlp: false },
      windows: read.windows.map(() => window),
      expertCount,
      expertsPerToken: config.int('num_experts_per_tok', { default: 8, max: Math.max(1, expertCount) }),
      expertSize: config.int('moe_intermediate_size', { default: 768 }),
      normalise: config.bool('norm_topk_prob', { default: false }),
      sparse: sparseLayers(config, read.layerCount, expertCount),
    };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => {
      const experts = (b: GraphBuilder, x: Value) => routedExperts(b, x, config);
      decoderLayer(b, config, index, { attention, mlp: config.sparse[index] ? experts : mlp });
    });
  },
};

/** Every `decoder_sparse_step`-th layer but those of `mlp_only_layers`. */
function sparseLayers(config: ConfigReader, layerCount: number, expertCount: number): boolean[] {
  const step = config.int('decoder_sparse_step', { default: 1 });
  const dense = config.has('mlp_only_layers') ? config.numbers('mlp_only_layers') : [];
  if (!dense.every(Number.isSafeInteger)) {
    throw new ConfigError({ key: `${config.path}mlp_only_layers`, found: dense, expected: 'a list of layer numbers' });
  }
  return Array.from({ length: layerCount }, (_, i) => expertCount > 0 && (i + 1) % step === 0 && !dense.includes(i));
}

function routedExperts(b: GraphBuilder, x: Value, config: Qwen3MoeConfig): Value {
  const { hiddenSize, expertSize, activation, expertCount } = config;
  return b.experts(x, b.linear(x, 'mlp.gate', expertCount), {
    count: expertCount,
    topK: config.expertsPerToken,
    normalise: config.normalise,
    prefix: (e) => `mlp.experts.${e}`,
    expert: (b, x, prefix) => {
      const gate = b.linear(x, `${prefix}.gate_proj`, expertSize);
      const up = b.linear(x, `${prefix}.up_proj`, expertSize);
      return b.linear(b.gated(gate, up, activation), `${prefix}.down_proj`, hiddenSize);
    },
  });
}
