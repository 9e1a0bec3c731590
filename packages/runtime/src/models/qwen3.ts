import type { GraphBuilder, Value } from '@airllm/kernels';
import type { Architecture } from './architecture';
import { decoder, decoderLayer, type LlamaConfig, readDecoderConfig } from './llama';
import { qwenWindows } from './qwen2';

// Qwen3 (https://arxiv.org/abs/2505.09388): Qwen2 with q and k normed per head, and biases only where the config says.

export const qwen3: Architecture<LlamaConfig> = {
  modelType: 'qwen3',

  readConfig(config) {
    const read = readDecoderConfig(config, 'qwen3', {
      vocabSize: 151_936,
      hiddenSize: 4096,
      intermediateSize: 22_016,
      layerCount: 32,
      headCount: 32,
      kvHeadCount: 32,
      headDim: 128,
      maxPositions: 32_768,
      normEps: 1e-6,
    });
    const bias = config.bool('attention_bias', { default: false });
    return { ...read, bias: { qkv: bias, out: bias, mlp: false }, windows: qwenWindows(config, read.layerCount) };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => decoderLayer(b, config, index, { attention }));
  },
};

/** With q and k normed per head. */
export function attention(b: GraphBuilder, x: Value, config: LlamaConfig, index: number): Value {
  const { headCount: heads, kvHeadCount: kvHeads, headDim, rope, bias } = config;
  const perHead = { eps: config.normEps, groupWidth: headDim };
  const q = b.rmsNorm(
    b.linear(x, 'self_attn.q_proj', heads * headDim, { bias: bias.qkv }),
    'self_attn.q_norm',
    perHead,
  );
  const k = b.rmsNorm(
    b.linear(x, 'self_attn.k_proj', kvHeads * headDim, { bias: bias.qkv }),
    'self_attn.k_norm',
    perHead,
  );
  const v = b.linear(x, 'self_attn.v_proj', kvHeads * headDim, { bias: bias.qkv });
  const seen = b.attention(b.rope(q, rope, { headDim }), b.rope(k, rope, { headDim }), v, {
    heads,
    kvHeads,
    headDim,
    window: config.windows[index],
  });
  return b.linear(seen, 'self_attn.o_proj', config.hiddenSize, { bias: bias.out });
}
