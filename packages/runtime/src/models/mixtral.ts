import type { GraphBuilder, Value } from '@airllm/kernels';
import type { Architecture } from './architecture';
import { decoder, decoderLayer, type LlamaConfig, readDecoderConfig } from './llama';
import { MISTRAL_DEFAULTS, slidingWindow } from './mistral';
import type { StackedTensor } from './stacked';

// Mixtral 8x7B and 8x22B (https://arxiv.org/abs/2401.04088): Mistral with routed experts for its MLP.

export interface MixtralConfig extends LlamaConfig {
  readonly expertCount: number;
  readonly expertsPerToken: number;
}

/** As transformers 5 keeps them in memory. */
const FUSED_EXPERTS: readonly StackedTensor[] = [
  {
    name: /^(.*)\.mlp\.experts\.gate_up_proj$/,
    parts: ([layer], e) => ['w1', 'w3'].map((matrix) => `${layer}.block_sparse_moe.experts.${e}.${matrix}.weight`),
  },
  {
    name: /^(.*)\.mlp\.experts\.down_proj$/,
    parts: ([layer], e) => [`${layer}.block_sparse_moe.experts.${e}.w2.weight`],
  },
];

export const mixtral: Architecture<MixtralConfig> = {
  modelType: 'mixtral',
  stackedTensors: FUSED_EXPERTS,

  readConfig(config) {
    const defaults = { ...MISTRAL_DEFAULTS, normEps: 1e-5, rope: { theta: 1_000_000 } };
    const read = readDecoderConfig(config, 'mixtral', defaults);
    const expertCount = config.int('num_local_experts', { default: 8, max: 4096 });
    return {
      ...read,
      windows: read.windows.map(() => slidingWindow(config, undefined)),
      expertCount,
      expertsPerToken: config.int('num_experts_per_tok', { default: 2, max: expertCount }),
    };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => {
      const renamed = model.has(`model.layers.${index}.mlp.gate.weight`);
      const router = renamed ? 'mlp.gate' : 'block_sparse_moe.gate';
      decoderLayer(b, config, index, { mlp: (b, x) => experts(b, x, config, router) });
    });
  },
};

function experts(b: GraphBuilder, x: Value, config: MixtralConfig, router: string): Value {
  const { hiddenSize, intermediateSize, activation, expertCount } = config;
  return b.experts(x, b.linear(x, router, expertCount), {
    count: expertCount,
    topK: config.expertsPerToken,
    normalise: true,
    prefix: (e) => `block_sparse_moe.experts.${e}`,
    expert: (b, x, prefix) => {
      const gate = b.linear(x, `${prefix}.w1`, intermediateSize);
      const up = b.linear(x, `${prefix}.w3`, intermediateSize);
      return b.linear(b.gated(gate, up, activation), `${prefix}.w2`, hiddenSize);
    },
  });
}
