import type { KvCacheDType } from '@airllm/kernels';
import { type DType, OptionError } from '@airllm/loader';
import { UnsupportedConfigError } from '../errors';
import type { Architecture } from './architecture';
import { ModelBuilder } from './builder';
import { ConfigReader } from './config-reader';
import { gemma3Text } from './gemma3_text';
import { gptOss } from './gpt_oss';
import { gpt2 } from './gpt2';
import { llama } from './llama';
import { ministral } from './ministral';
import { mistral } from './mistral';
import { mixtral } from './mixtral';
import type { Model, ModelConfig, ModelTensor } from './model';
import { phi3 } from './phi3';
import { qwen2 } from './qwen2';
import { qwen3 } from './qwen3';
import { qwen3Moe } from './qwen3_moe';
import { CheckpointSource, MetaSource, type QuantisedOnMeta, type TensorSource } from './tensor-source';

// biome-ignore lint/suspicious/noExplicitAny: each architecture reads and takes its own config; the pair is never split.
type AnyArchitecture = Architecture<any>;

/** Every architecture, sorted by `model_type`. A test holds this list against the folder. */
export const ARCHITECTURES: readonly AnyArchitecture[] = [
  gemma3Text,
  gpt2,
  gptOss,
  llama,
  ministral,
  mistral,
  mixtral,
  phi3,
  qwen2,
  qwen3,
  qwen3Moe,
];

/** The architecture of a `model_type`, or undefined. */
export function architectureOf(modelType: string): AnyArchitecture | undefined {
  return ARCHITECTURES.find((architecture) => architecture.modelType === modelType);
}

/**
 * Reads a config.json. Throws `UnsupportedConfigError` for a model type or a value that is not implemented and
 * `ConfigError` for one that makes no sense; both name the key.
 */
export function readConfig(rawConfig: unknown): ModelConfig {
  const config = new ConfigReader(rawConfig);
  return requireArchitecture(config).readConfig(config);
}

/** Tensors by name, as a checkpoint has them; quantised matrices as packed tensors (see `openSource` of @airllm/shard). */
export interface TensorMap {
  readonly tensors: ReadonlyMap<string, ModelTensor>;
}

/** What the tensors of a model without weights are. */
export interface MetaDTypes {
  readonly dtype: DType;
  /** Says which of them are quantised, and how. @defaultValue none */
  readonly quantised?: QuantisedOnMeta;
}

/** What {@link buildModel} takes beside configuration and tensors. */
export interface BuildModelOptions {
  /** How keys and values are kept: see `KvCacheDType`. @defaultValue 'float32' */
  readonly kvCacheDtype?: KvCacheDType | undefined;
}

const KV_CACHE_DTYPES: readonly KvCacheDType[] = ['float32', 'bfloat16', 'int8'];

/**
 * Builds a model from its config.json, over the tensors of a checkpoint or, with `{ dtype }`, over none: then every
 * weight is on meta. Reads no weights. Throws what `readConfig` throws, and `ModelTensorError` naming the tensors that
 * do not fit the config.
 */
export function buildModel(rawConfig: unknown, source: TensorMap | MetaDTypes, options: BuildModelOptions = {}): Model {
  const { kvCacheDtype = 'float32' } = options;
  if (!KV_CACHE_DTYPES.includes(kvCacheDtype)) {
    throw new OptionError({ option: 'kvCacheDtype', expected: KV_CACHE_DTYPES.join(', '), found: kvCacheDtype });
  }
  const config = new ConfigReader(rawConfig);
  const architecture = requireArchitecture(config);
  const read = architecture.readConfig(config);
  const tensors: TensorSource =
    'tensors' in source
      ? new CheckpointSource(source.tensors, architecture.stackedTensors)
      : new MetaSource(source.dtype, source.quantised);
  const builder = new ModelBuilder(architecture.modelType, tensors, architecture.ignoredTensors, { kvCacheDtype });
  architecture.forward(builder, read);
  return builder.build(read);
}

function requireArchitecture(config: ConfigReader): AnyArchitecture {
  const modelType = config.raw.model_type;
  const architecture = typeof modelType === 'string' ? architectureOf(modelType) : undefined;
  if (architecture) return architecture;
  const supported = ARCHITECTURES.map((known) => known.modelType);
  throw new UnsupportedConfigError({ key: 'model_type', found: modelType, supported });
}
