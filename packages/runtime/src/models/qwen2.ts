import type { Architecture } from './architecture';
import type { ConfigReader } from './config-reader';
import { decoder, decoderLayer, type LlamaConfig, readDecoderConfig } from './llama';
import { slidingWindow } from './mistral';

// Qwen2 and 2.5 (https://arxiv.org/abs/2407.10671): Llama with biases on q, k and v, and a window in the upper layers.

/** Windows per layer: `layer_types`, else all from `max_window_layers` on; none unless `use_sliding_window`. */
export function qwenWindows(config: ConfigReader, layerCount: number): (number | undefined)[] {
  const window = config.bool('use_sliding_window', { default: false }) ? slidingWindow(config, 4096) : undefined;
  const first = config.int('max_window_layers', { default: 28, min: 0 });
  const types = config.layerTypes(layerCount, ['full_attention', 'sliding_attention']);
  return Array.from({ length: layerCount }, (_, i) => {
    const slides = types === undefined ? i >= first : types[i] === 'sliding_attention';
    return slides ? window : undefined;
  });
}

export const qwen2: Architecture<LlamaConfig> = {
  modelType: 'qwen2',

  readConfig(config) {
    const read = readDecoderConfig(config, 'qwen2', {
      vocabSize: 151_936,
      hiddenSize: 4096,
      intermediateSize: 22_016,
      layerCount: 32,
      headCount: 32,
      kvHeadCount: 32,
      maxPositions: 32_768,
      normEps: 1e-6,
    });
    return { ...read, bias: { ...read.bias, qkv: true }, windows: qwenWindows(config, read.layerCount) };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => decoderLayer(b, config, index));
  },
};
