import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AbsentFiles,
  FormatError,
  MissingFileError,
  openCheckpointIndex,
  UnsupportedCheckpointError,
} from '@airllm/loader';
import {
  type BuildModelOptions,
  buildModel,
  configDType,
  HubUnavailableError,
  type Model,
  type ModelAddress,
  type ModelTensor,
  needsConversion,
  OfflineError,
  openRemoteModel,
  type QuantisedOnMeta,
  type RemoteModel,
  type RemoteModelOptions,
  type ResolveModelOptions,
  resolveModel,
} from '@airllm/runtime';
import { convertedTensor, isConversion, type ModelSource, openSource, quantisedOnMeta } from '@airllm/shard';
import { addressOf } from './pull/address';

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
  /** Of a model that is still in its repository: what a download would bring. */
  readonly download: DownloadFacts | null;
}

/** What a download would bring; all sizes are bytes. */
export interface DownloadFacts {
  readonly repo: string;
  readonly commit: string;
  readonly files: number;
  readonly total: number;
  /** Without what the cache has already. */
  readonly bytes: number;
  /** Free on the cache's drive. */
  readonly free: number;
  /** What was read to know this. */
  readonly read: number;
  /** Of a tokenizer.json that is not here; running the model takes memory for it. */
  readonly tokenizer: number;
}

/**
 * Finds a model and reads what describes it, never a weight: in a folder or the cache, else in its repository, of which
 * a few hundred kB are fetched, and of GGUF files, whose headers hold the tokenizer, a few MB. Throws as `resolveModel`, `openSource` and `openRemoteModel` do.
 */
export async function openModelFiles(
  source: string,
  options: ResolveModelOptions,
  signal: AbortSignal,
): Promise<ModelFiles> {
  const address = addressOf(source, options);
  const isPath = address === undefined || (await isThere(source));
  if (isPath || options.offline === true) return localFiles(source, options, signal);
  const local = await localFiles(source, options, signal).catch((reason: unknown) => ({ reason }));
  if (!('reason' in local) && local.source !== null) return local;
  try {
    return await remoteFiles(address, { ...options, signal });
  } catch (error) {
    // What there is of it says more than a network that is not there; of one that is not to be used nothing is new.
    if (!HubUnavailableError.isInstance(error) && !OfflineError.isInstance(error)) throw error;
    if ('reason' in local) throw OfflineError.isInstance(error) ? local.reason : error;
    return local;
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function localFiles(source: string, options: ResolveModelOptions, signal: AbortSignal): Promise<ModelFiles> {
  const { dir, file } = await resolveModel(source, { ...options, offline: true, signal });
  const { weights, absent } = await weightsHere(file ?? dir, { signal });
  if (weights?.config) return { ...fromSource(weights, weights.config), download: null };
  return fromIndex(dir, absent);
}

async function remoteFiles(
  { repo, revision, quantisation }: ModelAddress,
  options: RemoteModelOptions & { readonly signal: AbortSignal },
): Promise<ModelFiles> {
  const { signal } = options;
  const remote = await openRemoteModel(repo, { ...options, revision, quantisation });
  try {
    const { dir, absent, commit, files } = remote;
    const { weights, absent: reason } = await weightsHere(remote.path, { absent, signal });
    const sizes = { total: remote.bytesTotal, bytes: remote.bytesToDownload, free: remote.bytesFree };
    const download: DownloadFacts = {
      repo,
      commit,
      files: files.length,
      ...sizes,
      read: remote.bytesRead,
      tokenizer: weights?.extras.get('tokenizer.json')?.length ?? (await tokenizerToCome(remote)),
    };
    if (weights?.config) return { ...fromSource(weights, weights.config), download };
    // Of what cannot be opened, the configuration tells the rest.
    const found = await fromIndex(dir, reason);
    const stored = files.filter(({ path }) => /\.(bin|gguf)$/.test(path)).reduce((sum, { size }) => sum + size, 0);
    return { ...found, totalBytes: found.totalBytes ?? (stored > 0 ? stored : null), download };
  } finally {
    await remote.close();
  }
}

async function tokenizerToCome({ dir, files }: RemoteModel): Promise<number> {
  if (await isThere(join(dir, 'tokenizer.json'))) return 0;
  return files.find(({ path }) => path === 'tokenizer.json')?.size ?? 0;
}

/** What configuration and index tell of a folder without its weights; `absent` is why these could not be opened. */
async function fromIndex(dir: string, absent: unknown): Promise<ModelFiles> {
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
  const nothing = { source: null, tensors: null, quantisation: null, download: null };
  return { dir, config: index.config, quantised, totalBytes, ...nothing };
}

/** The model as it would run; over its files, or on meta where these are not here. */
export function modelOf({ config, tensors, quantised }: ModelFiles, options: BuildModelOptions): Model {
  if (tensors !== null) return buildModel(config, { tensors }, options);
  return buildModel(config, { dtype: configDType(config), ...(quantised && { quantised }) }, options);
}

function fromSource(source: ModelSource, config: Record<string, unknown>): Omit<ModelFiles, 'download'> {
  const tensors = new Map([...source.tensors].map(([name, tensor]) => [name, convertedTensor(tensor)]));
  const { dir, quantisation } = source;
  return { dir, config, source, tensors, quantised: null, totalBytes: storedBytes(source), quantisation };
}

/** Bytes of the copy that has to be made before it can run; 0 where none has. */
export function convertedBytes({ source, tensors }: ModelFiles): number {
  if (source === null || tensors === null || !needsConversion(source)) return 0;
  const parts = [...tensors.values()].map((tensor) => tensor.byteLength);
  return parts.reduce((sum, bytes) => sum + bytes, 0);
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

/** A model's headers, or what says that some of its files are not here. */
async function weightsHere(
  path: string,
  options: { readonly absent?: AbsentFiles; readonly signal: AbortSignal },
): Promise<{ weights: ModelSource; absent?: never } | { weights?: never; absent: unknown }> {
  try {
    return { weights: await openSource(path, options) };
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
  const { size } = await stat(file).catch(() => ({ size: Infinity }));
  return size <= LFS_POINTER_BYTES && (await readFile(file, 'latin1')).startsWith(LFS_POINTER);
}
