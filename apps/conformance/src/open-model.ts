import { AutoModel, BudgetError, type LanguageModel, UnsupportedConfigError } from '@airllm/runtime';

/** How the model under test is run; what is absent is the runtime's default. */
export interface ModelOptions {
  readonly executor?: 'auto' | 'native' | 'onnx' | 'reference';
  /** @defaultValue 'cpu' */
  readonly device?: 'auto' | 'cpu' | 'gpu';
  /** What of onnxruntime drives the GPU. @defaultValue 'auto' */
  readonly provider?: 'auto' | 'webgpu' | 'cuda' | 'dml' | 'coreml' | 'cpu';
  /** Bytes, or text such as '2GB'. */
  readonly vram?: number | string;
  /** Bytes, text such as '64MB', or 'smallest': as little as the plan can work with. */
  readonly weightsMemory?: number | string;
  readonly threads?: number;
  /** @defaultValue 'float32', as what it is compared with */
  readonly computeDtype?: 'float32' | 'bfloat16';
  /** Positions one sequence may have. */
  readonly contextLength?: number;
  /** Where checkpoints that have to be converted are converted to. */
  readonly cacheDir?: string;
}

/** Opens a checkpoint for comparison with a float32 reference. */
export async function openModel(dir: string, options: ModelOptions): Promise<LanguageModel> {
  if (options.weightsMemory !== 'smallest') return open(dir, options);
  try {
    return await open(dir, { ...options, weightsMemory: 1 });
  } catch (error) {
    // The runtime refuses one byte and says how many it needs.
    if (!BudgetError.isInstance(error)) throw error;
    return open(dir, { ...options, weightsMemory: error.floor });
  }
}

function open(dir: string, options: ModelOptions): Promise<LanguageModel> {
  const { executor, device, provider, vram, weightsMemory, threads, contextLength, cacheDir } = options;
  const { computeDtype = 'float32' } = options;
  return AutoModel.fromPretrained(dir, {
    computeDtype,
    ...(executor !== undefined && { executor }),
    ...(device !== undefined && { device }),
    ...(provider !== undefined && { provider }),
    ...(vram !== undefined && { vram }),
    ...(weightsMemory !== undefined && { weightsMemory }),
    ...(threads !== undefined && { threads }),
    ...(contextLength !== undefined && { contextLength }),
    ...(cacheDir !== undefined && { cacheDir }),
  });
}

/** Whether the runtime refused a model because it does not implement it, as opposed to computing it wrongly. */
export function isUnsupported(error: unknown): boolean {
  return UnsupportedConfigError.isInstance(error);
}
