import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, MissingFileError, openCheckpointIndex, UnsupportedCheckpointError } from '@airllm/loader';
import {
  type BuildModelOptions,
  buildModel,
  configDType,
  type Model,
  type ModelTensor,
  type QuantisedOnMeta,
  type ResolveModelOptions,
  resolveModel,
} from '@airllm/runtime';
import { convertedTensor, isConversion, type ModelSource, openSource, quantisedOnMeta } from '@airllm/shard';

/** What is known of a model: with its weights' headers where the weights are here. */
export interface ModelFiles {
  readonly dir: string;
  readonly config: Record<string, unknown>;
  /** Null where weights, or some of them, are not here. */
  readonly source: ModelSource | null;
  /** The source's tensors as they are computed with: after the conversion, where one is needed. */
  readonly tensors: ReadonlyMap<string, ModelTensor> | null;
  /** Where weights are not here: which of them are quantised, and how, as far as configuration and index tell. */
  readonly quantised: QuantisedOnMeta | null;
  /** Bytes of all weights as published, if anything tells. */
  readonly totalBytes: number | null;
  /** What the weights are quantised by. */
  readonly quantisation: string | null;
}

/** Finds a model and reads what describes it, never a weight. Throws as `resolveModel` and `openSource` do. */
export async function openModelFiles(
  source: string,
  options: ResolveModelOptions,
  signal: AbortSignal,
): Promise<ModelFiles> {
  // Only what is here: nothing is downloaded to describe it.
  const { dir, file } = await resolveModel(source, { ...options, offline: true, signal });
  const { weights, absent } = await weightsHere(file ?? dir, signal);
  if (weights?.config) return fromSource(weights, weights.config);
  const index = await openCheckpointIndex(dir);
  if (index.config === null) {
    // Weights that are here but cannot be opened are the better reason.
    if (absent !== undefined && !(UnsupportedCheckpointError.isInstance(absent) && absent.found.length === 0))
      throw absent;
    throw new MissingFileError({ file: join(dir, 'config.json'), neededBy: dir });
  }
  const shards = [...index.files.values()];
  const sizes = shards.reduce<number | null>((sum, size) => (sum === null || size === null ? null : sum + size), 0);
  const totalBytes = index.totalBytes ?? (shards.length > 0 ? sizes : null);
  const quantised = quantisedOnMeta(index.config, { names: index.weightMap.keys() });
  return { dir, config: index.config, source: null, tensors: null, quantised, totalBytes, quantisation: null };
}

/** The model as it would run; over its files, or on meta where these are not here. */
export function modelOf({ config, tensors, quantised }: ModelFiles, options: BuildModelOptions): Model {
  if (tensors !== null) return buildModel(config, { tensors }, options);
  return buildModel(config, { dtype: configDType(config), ...(quantised && { quantised }) }, options);
}

function fromSource(source: ModelSource, config: Record<string, unknown>): ModelFiles {
  const tensors = new Map([...source.tensors].map(([name, tensor]) => [name, convertedTensor(tensor)]));
  const { dir, quantisation } = source;
  return { dir, config, source, tensors, quantised: null, totalBytes: storedBytes(source), quantisation };
}

/** Bytes of the tensors as published. */
function storedBytes({ tensors }: ModelSource): number {
  const parts = new Map<string, number>();
  for (const tensor of tensors.values()) {
    const stored = isConversion(tensor) ? Object.values(tensor.inputs) : [tensor];
    for (const { name, byteLength } of stored) parts.set(name, byteLength);
  }
  return [...parts.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** A path for `splitCheckpoint`: any file or folder that is there, else a repository in the cache. */
export async function weightsSource(
  source: string,
  options: ResolveModelOptions,
  signal: AbortSignal,
): Promise<string> {
  const isFile = await stat(source).then(
    (stats) => stats.isFile(),
    () => false,
  );
  return isFile ? source : (await resolveModel(source, { ...options, signal })).dir;
}

/** A model's headers, or what says that some of its files are not here. */
async function weightsHere(
  path: string,
  signal: AbortSignal,
): Promise<{ weights: ModelSource; absent?: never } | { weights?: never; absent: unknown }> {
  try {
    return { weights: await openSource(path, { signal }) };
  } catch (absent) {
    if (MissingFileError.isInstance(absent) || UnsupportedCheckpointError.isInstance(absent)) return { absent };
    if (FormatError.isInstance(absent) && (await isLfsPointer(absent.file))) return { absent };
    throw absent;
  }
}

const LFS_POINTER = 'version https://git-lfs.github.com/spec/v1\n';
const LFS_POINTER_BYTES = 1024;

/** A clone without Git LFS has a few lines of text in place of each large file. */
async function isLfsPointer(file: string): Promise<boolean> {
  const { size } = await stat(file);
  return size <= LFS_POINTER_BYTES && (await readFile(file, 'latin1')).startsWith(LFS_POINTER);
}
