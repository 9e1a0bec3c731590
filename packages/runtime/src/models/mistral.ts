import type { Architecture } from './architecture';
import type { ConfigReader } from './config-reader';
import { decoder, decoderLayer, type LlamaConfig, type LlamaDefaults, readDecoderConfig } from './llama';

// Mistral 7B (https://arxiv.org/abs/2310.06825), Nemo, Small: Llama with one sliding window for all layers.

/** Defaults of MistralConfig and of MinistralConfig. */
export const MISTRAL_DEFAULTS: LlamaDefaults = {
  vocabSize: 32_000,
  hiddenSize: 4096,
  intermediateSize: 14_336,
  layerCount: 32,
  headCount: 32,
  kvHeadCount: 8,
  maxPositions: 131_072,
  normEps: 1e-6,
};

/** `sliding_window`: null means none, absent means the class's default. */
export function slidingWindow(config: ConfigReader, whenAbsent: number | undefined): number | undefined {
  return config.optionalInt('sliding_window', whenAbsent === undefined ? {} : { default: whenAbsent });
}

export const mistral: Architecture<LlamaConfig> = {
  modelType: 'mistral',

  readConfig(config) {
    const read = readDecoderConfig(config, 'mistral', MISTRAL_DEFAULTS);
    return { ...read, windows: read.windows.map(() => slidingWindow(config, 4096)) };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => decoderLayer(b, config, index));
  },
};
