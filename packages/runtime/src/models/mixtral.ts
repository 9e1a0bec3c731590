import type { GraphBuilder, Value } from '@airllm/kernels';
import type { Architecture } from './architecture';
import { decoder, decoderLayer, type LlamaConfig, readDecoderConfig } from './llama';
import { MISTRAL_DEFAULTS, slidingWindow } from './mistral';

// Mixtral 8x7B and 8x22B (https://arxiv.org/abs/2401.04088): Mistral with routed experts for its MLP.

export interface MixtralConfig extends LlamaConfig {
  readonly expertCount: number;
  readonly expertsPerToken: number;
}

export const mixtral: Architecture<MixtralConfig> = {
  modelType: 'mixtral',

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
    decoder(model, config, (b, index) => decoderLayer(b, config, index, { mlp: (b, x) => experts(b, x, config) }));
  },
};

function experts(b: GraphBuilder, x: Value, config: MixtralConfig): Value {
  const { hiddenSize, intermediateSize, activation, expertCount } = config;
  return b.experts(x, b.linear(x, 'block_sparse_moe.gate', expertCount), {
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
