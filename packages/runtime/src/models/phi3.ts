import type { GraphBuilder, Value } from '@airllm/kernels';
import type { Architecture } from './architecture';
import { decoder, decoderLayer, type LlamaConfig, readDecoderConfig } from './llama';
import { slidingWindow } from './mistral';

// Phi-3, 3.5 and 4-mini (https://arxiv.org/abs/2404.14219): Llama with q, k, v and gate, up fused, and LongRoPE.

/** Phi3Config has this key at its top level, and a default for it. */
const ORIGINAL_MAX_POSITIONS = 4096;

export const phi3: Architecture<LlamaConfig> = {
  modelType: 'phi3',

  readConfig(config) {
    const read = readDecoderConfig(config, 'phi3', {
      vocabSize: 32_064,
      hiddenSize: 3072,
      intermediateSize: 8192,
      layerCount: 32,
      headCount: 32,
      maxPositions: 4096,
      normEps: 1e-5,
      rope: {
        partial: true,
        originalMaxPositions: ORIGINAL_MAX_POSITIONS,
        // The first releases called it "su", and some "yarn" although it never was.
        types: { default: 'default', longrope: 'longrope', su: 'longrope', yarn: 'longrope' },
      },
    });
    const { scaling } = read.rope;
    return {
      ...read,
      windows: read.windows.map(() => slidingWindow(config, undefined)),
      // transformers' Phi3ForCausalLM drops the cache when a sequence outgrows the original context.
      ...(scaling.type === 'longrope' ? { ropeSwitchLength: scaling.originalMaxPositions } : {}),
    };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => decoderLayer(b, config, index, { attention, mlp }));
  },
};

function attention(b: GraphBuilder, x: Value, config: LlamaConfig, index: number): Value {
  const { headCount: heads, kvHeadCount: kvHeads, headDim, rope } = config;
  const parts = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  const width = parts.reduce((sum, part) => sum + part, 0);
  const [q, k, v] = b.split(b.linear(x, 'self_attn.qkv_proj', width, { parts }), parts) as [Value, Value, Value];
  const seen = b.attention(b.rope(q, rope, { headDim }), b.rope(k, rope, { headDim }), v, {
    heads,
    kvHeads,
    headDim,
    window: config.windows[index],
  });
  return b.linear(seen, 'self_attn.o_proj', config.hiddenSize);
}

function mlp(b: GraphBuilder, x: Value, config: LlamaConfig): Value {
  const parts = [config.intermediateSize, config.intermediateSize];
  const fused = b.linear(x, 'mlp.gate_up_proj', 2 * config.intermediateSize, { parts });
  const [gate, up] = b.split(fused, parts) as [Value, Value];
  return b.linear(b.gated(gate, up, config.activation), 'mlp.down_proj', config.hiddenSize);
}
