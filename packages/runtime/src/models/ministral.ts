import type { Architecture } from './architecture';
import { decoder, decoderLayer, type LlamaConfig, readDecoderConfig } from './llama';
import { MISTRAL_DEFAULTS, slidingWindow } from './mistral';

// Ministral 8B: Mistral whose layers say one by one whether they have the window.

export const ministral: Architecture<LlamaConfig> = {
  modelType: 'ministral',

  readConfig(config) {
    const read = readDecoderConfig(config, 'ministral', MISTRAL_DEFAULTS);
    const window = slidingWindow(config, 4096);
    const types = config.layerTypes(read.layerCount, ['sliding_attention', 'full_attention']);
    return { ...read, windows: read.windows.map((_, i) => (types?.[i] === 'full_attention' ? undefined : window)) };
  },

  forward(model, config) {
    decoder(model, config, (b, index) => decoderLayer(b, config, index));
  },
};
