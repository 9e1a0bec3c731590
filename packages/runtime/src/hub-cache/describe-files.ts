import { join } from 'node:path';
import { openCheckpointIndex, readConfigFile } from '@airllm/loader';

/** What the weights of a snapshot are; `layers`: written by @airllm/shard. */
export type CachedFormat = 'safetensors' | 'layers' | 'pickle' | 'gguf';

/** What the files of a snapshot are, told by names, configuration and index. */
export interface FilesDescription {
  /** Null where there are no weights. */
  readonly format: CachedFormat | null;
  /** `quant_method` of the configuration, or that of GGUF file names such as `Q4_K_M`. */
  readonly quantisation: string | null;
  readonly modelType: string | null;
  /** Weights that the index names and that are not there; the model cannot run before they are. */
  readonly missing: readonly string[];
}

const GGUF_QUANTISATION = /[.-]((?:i?q|tq|mxfp|bf|f)\d\w*)(?:-\d{5}-of-\d{5})?\.gguf$/i;

/** Reads configuration and index of a folder; what of it is damaged counts as not there. */
export async function describeFiles(dir: string, names: readonly string[]): Promise<FilesDescription> {
  const format = formatOf(names);
  const [config, index] = await Promise.all([
    readConfigFile(join(dir, 'config.json')).catch(() => null),
    openCheckpointIndex(dir).catch(() => null),
  ]);
  const shards = index === null || names.includes('model.safetensors') ? [] : [...index.files.keys()];
  return {
    format,
    quantisation: quantisationOf(config) ?? (format === 'gguf' ? quantisationOfGguf(names) : null),
    modelType: typeof config?.model_type === 'string' ? config.model_type : null,
    missing: shards.filter((name) => !names.includes(name)),
  };
}

function formatOf(names: readonly string[]): CachedFormat | null {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  if (has(/^manifest\.json$/) && has(/\.safetensors$/)) return 'layers';
  if (has(/\.safetensors(\.index\.json)?$/)) return 'safetensors';
  if (has(/\.bin(\.index\.json)?$/)) return 'pickle';
  return has(/\.gguf$/) ? 'gguf' : null;
}

function quantisationOf(config: Record<string, unknown> | null): string | null {
  const found = config?.quantization_config ?? config?.quantization;
  if (typeof found !== 'object' || found === null) return null;
  const { quant_method: method } = found as { quant_method?: unknown };
  return typeof method === 'string' ? method : config?.quantization === found ? 'mlx' : 'unknown';
}

function quantisationOfGguf(names: readonly string[]): string | null {
  const found = new Set(names.flatMap((name) => GGUF_QUANTISATION.exec(name)?.[1]?.toUpperCase() ?? []));
  return found.size === 0 ? null : [...found].sort().join(', ');
}
