import path from 'node:path';
import { readConfigFile } from '@airllm/loader';

type Config = Record<string, unknown>;

/** transformers, compressed-tensors before 0.5, MLX. */
export const QUANTISATION_KEYS = ['quantization_config', 'compression_config', 'quantization'] as const;
/** GPTQ, AWQ and ModelOpt uploads from before transformers had a place for it. */
export const QUANTISATION_FILES = ['quantize_config.json', 'quant_config.json', 'hf_quant_config.json'] as const;
/** Where models of several parts keep the language model's configuration. */
export const NESTED_CONFIGS = ['text_config', 'llm_config', 'language_config'] as const;

/** What a model says of its quantisation, wherever it says it; null if nowhere. Throws as `readConfigFile` does. */
export async function findQuantisation(dir: string, config: Config | null): Promise<Config | null> {
  const own = quantisationIn(config);
  if (own !== null) return own;
  for (const name of QUANTISATION_FILES) {
    const found = await readConfigFile(path.join(dir, name));
    if (found !== null) return found;
  }
  return null;
}

/** What a configuration itself says of the quantisation; null if nothing. */
export function quantisationIn(config: Config | null): Config | null {
  for (const part of [config, ...NESTED_CONFIGS.map((key) => recordAt(config, key))]) {
    for (const key of QUANTISATION_KEYS) {
      const found = recordAt(part, key);
      if (found !== null) return found;
    }
  }
  return null;
}

/** A configuration as that of the model before it was quantised. */
export function withoutQuantisation(config: Config | null): Config | null {
  if (config === null) return null;
  const entries = Object.entries(config).filter(([key]) => !isQuantisationKey(key));
  return Object.fromEntries(
    entries.map(([key, value]) => {
      const nested = (NESTED_CONFIGS as readonly string[]).includes(key) ? recordAt(config, key) : null;
      return [key, nested === null ? value : withoutQuantisation(nested)];
    }),
  );
}

function isQuantisationKey(key: string): boolean {
  return (QUANTISATION_KEYS as readonly string[]).includes(key);
}

function recordAt(config: Config | null, key: string): Config | null {
  const value = config?.[key];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Config) : null;
}

/** `quant_method` of a folder that a split has written, so that other programs refuse it rather than misread it. */
export const OWN_METHOD = 'airllm';
