import { rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { type AbsentFiles, makeFolder, OptionError } from '@airllm/loader';
import {
  type ArrivingSource,
  type Compression,
  convertedTensor,
  isConversion,
  type ModelSource,
  openSource,
  type ShardProgress,
  SourceChangedError,
  splitCheckpoint,
  TargetLock,
  whenUnlocked,
} from '@airllm/shard';
import type { DelayOptions } from '../../delay';
import type { ModelTensor } from '../../models/model';
import { checkPlaces } from './check-places';
import {
  type ConversionCacheOptions,
  conversionDir,
  conversionDirOf,
  isConverted,
  recordConversion,
} from './conversion-cache';

/** How far the rewriting of a model has come that cannot be run as it is stored. */
export interface ConversionProgress extends ShardProgress {
  /** Folder of the copy. */
  readonly dir: string;
  /** How the source is quantised: `gptq`, `gguf`, … */
  readonly quantisation: string | null;
  /** What is made: the model in another layout, or a compressed copy that drafts for it. */
  readonly purpose: 'run' | 'draft';
}

/** How a model's files become weights that can be computed with. */
export interface OpenWeightsOptions extends ConversionCacheOptions, DelayOptions {
  /** Whether a model that cannot be run as it is stored may be converted into the cache. @defaultValue true */
  readonly convert?: boolean | undefined;
  /** Is told while a model is converted, which happens once; the first call comes before anything is written. */
  readonly onConversion?: ((progress: ConversionProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A model's tensors in formats that executors compute on. */
export interface RunnableWeights {
  /** Folder with configuration and tokenizer: the source's own, or that of its converted copy. */
  readonly dir: string;
  readonly config: Record<string, unknown> | null;
  readonly tensors: ReadonlyMap<string, ModelTensor>;
}

/**
 * Opens a model's weights. What is stored in a layout that executors compute on is run in place; anything else is
 * converted once, into the cache, and found there the next time.
 * Throws as `openSource` and `splitCheckpoint` do; `OptionError` where a conversion is needed and not allowed.
 */
export async function openWeights(path: string, options: OpenWeightsOptions): Promise<RunnableWeights> {
  const { signal } = options;
  const copy = await conversionDir(path, options);
  if (await isConverted(copy)) return runnable(await openSource(copy, { signal }));
  const source = await openSource(path, { signal });
  if (!needsConversion(source)) return runnable(source);
  if (options.convert === false) throw conversionRefused(source);
  await convert(path, copy, source, { ...options, purpose: 'run' });
  return runnable(await openSource(copy, { signal }));
}

/**
 * Opens weights that are still to be downloaded into a folder; null where they will have to be converted. Throws as
 * `openSource`; `OptionError` where they may not.
 */
export async function openAbsentWeights(
  path: string,
  absent: AbsentFiles,
  { convert, signal }: OpenWeightsOptions,
): Promise<RunnableWeights | null> {
  const source = await openSource(path, { absent, signal });
  if (!needsConversion(source)) return runnable(source);
  if (convert === false) throw conversionRefused(source);
  return null;
}

/** A source that is rewritten while it comes. */
export interface ArrivingConversion {
  readonly arriving: ArrivingSource;
  /** Real path that the source will have. */
  readonly realPath: string;
}

/**
 * Converts weights while they are downloaded, and opens the copy once all of them are there and verified. Throws as
 * `openWeights`, and `StaleWeightsError` where something that was read came damaged.
 */
export async function openArrivingWeights(
  path: string,
  { arriving, realPath }: ArrivingConversion,
  options: OpenWeightsOptions,
): Promise<RunnableWeights> {
  const begun = conversionDirOf(realPath, options);
  const source = await openSource(path, { absent: arriving.absent, signal: options.signal });
  await convert(path, begun, source, { ...options, arriving, purpose: 'run' });
  // Where the cache cannot have links, a file's real path is another.
  const copy = await conversionDir(path, options);
  if (copy !== begun) {
    await rm(copy, { recursive: true, force: true });
    await rename(begun, copy);
  }
  return runnable(await openSource(copy, { signal: options.signal }));
}

/**
 * Opens a compressed copy of a model's weights, which is made first where the cache has none. Throws as `openSource` and
 * `splitCheckpoint` do; `OptionError` for a model that is quantised already.
 */
export async function openCompressed(
  path: string,
  compress: Compression,
  options: OpenWeightsOptions,
): Promise<RunnableWeights> {
  const { signal } = options;
  const copy = await conversionDir(path, options, compress);
  if (!(await isConverted(copy))) {
    const source = await openSource(path, { signal });
    await convert(path, copy, source, { ...options, compress, purpose: 'draft' });
  }
  return runnable(await openSource(copy, { signal }));
}

/** Whether some tensor is stored in a layout that no executor computes with. */
export function needsConversion(source: ModelSource): boolean {
  return source.extras.size > 0 || [...source.tensors.values()].some(isConversion);
}

function conversionRefused({ quantisation, kind }: ModelSource): OptionError {
  return new OptionError({
    option: 'convert',
    expected: `true: weights quantised by ${quantisation ?? kind} have to be converted before they can be run`,
    found: false,
  });
}

interface ConvertOptions extends OpenWeightsOptions {
  readonly compress?: Compression | undefined;
  readonly purpose: ConversionProgress['purpose'];
  readonly arriving?: ArrivingSource | undefined;
}

/** Where another process is converting the same model, its copy is waited for. */
async function convert(path: string, copy: string, source: ModelSource, options: ConvertOptions): Promise<void> {
  const { signal, onDelay, arriving } = options;
  await makeFolder(dirname(copy));
  const work = async () => {
    // Held until the copy is on record: who comes next finds it.
    const lock = await TargetLock.acquire(`${copy}.lock`);
    try {
      if (await isConverted(copy)) await arriving?.settled();
      else await makeCopy(path, copy, source, options);
    } finally {
      await lock.release();
    }
  };
  await whenUnlocked(work, {
    signal,
    onWait: ({ pid, host }) => onDelay?.({ type: 'waiting', for: 'conversion', dir: copy, pid, host }),
  });
}

async function makeCopy(path: string, copy: string, source: ModelSource, options: ConvertOptions): Promise<void> {
  const { compress, onConversion, purpose, arriving, signal } = options;
  const { quantisation } = source;
  const onProgress =
    onConversion && ((progress: ShardProgress) => onConversion({ ...progress, dir: copy, quantisation, purpose }));
  const split = (restart: boolean) => splitCheckpoint(path, copy, { signal, onProgress, restart, compress, arriving });
  try {
    await split(false);
  } catch (error) {
    // What an interrupted run left belongs to files that have changed since.
    if (!SourceChangedError.isInstance(error)) throw error;
    await split(true);
  }
  if (arriving !== undefined && source.kind === 'pickle') {
    await checkPlaces(basename(copy), path, source.tensors, signal);
  }
  await recordConversion(copy, path, source.files);
}

function runnable({ dir, config, tensors }: ModelSource): RunnableWeights {
  const ready = new Map([...tensors].map(([name, tensor]) => [name, convertedTensor(tensor)]));
  return { dir, config, tensors: ready };
}
