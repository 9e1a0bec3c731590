import type { ComputeDType, ExecutorName } from '@airllm/kernels';
import type { Observer } from '../engine';
import type { OptionNames } from '../option-names';
import type { DeviceOptions } from './device/open-device';
import type { SpeculationOptions } from './draft/draft-target';
import type { MemoryOptions } from './plan-options';
import type { OpenWeightsOptions } from './weights/open-weights';
import type { ResolveModelOptions } from './weights/resolve-model';

/** What `AutoModel.fromPretrained` takes beside the model. */
export interface FromPretrainedOptions
  extends ResolveModelOptions,
    OpenWeightsOptions,
    MemoryOptions,
    DeviceOptions,
    SpeculationOptions {
  /** What computes on the host. @defaultValue 'auto': native where its library is there, else onnx, else reference */
  readonly executor?: 'auto' | ExecutorName | undefined;
  /** @defaultValue as many as the machine runs at once */
  readonly threads?: number | undefined;
  /**
   * What bf16 and quantised weights are multiplied with: activations in `float32`, or rounded to `bfloat16` (as are
   * quantised weights then). `auto` is bfloat16 where the CPU has an instruction for it (AVX-512 BF16): prompts are then
   * read about twice as fast, at results as close to the model as bf16 weights are. Float32 and float16 weights are always
   * computed in float32. @defaultValue 'float32'
   */
  readonly computeDtype?: 'auto' | ComputeDType | undefined;
  /** @defaultValue 'auto': direct where the drive allows it */
  readonly reader?: 'auto' | 'direct' | 'plain' | undefined;
  /** Is told what every read, wait and computation took: see `chromeTrace`. */
  readonly observe?: Observer | undefined;
  /** Told what a person should know, a line each. @defaultValue stderr */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** What `fromPretrained` reads. */
export const FROM_PRETRAINED_NAMES: OptionNames<FromPretrainedOptions> = {
  endpoint: true,
  token: true,
  weights: true,
  quantisation: true,
  cacheDir: true,
  revision: true,
  offline: true,
  retry: true,
  stallTimeoutMs: true,
  onProgress: true,
  onDelay: true,
  signal: true,
  convert: true,
  onConversion: true,
  executor: true,
  threads: true,
  computeDtype: true,
  reader: true,
  observe: true,
  onWarning: true,
  memory: true,
  weightsMemory: true,
  contextLength: true,
  maxSequences: true,
  kvCacheDtype: true,
  kvCachePlace: true,
  kvCacheDir: true,
  maxRows: true,
  logitRows: true,
  structuredOutput: true,
  device: true,
  vram: true,
  provider: true,
  planFile: true,
  speculate: true,
  draftModel: true,
};
