import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Checkpoint,
  FormatError,
  MissingFileError,
  openCheckpoint,
  openCheckpointIndex,
  UnsupportedCheckpointError,
} from '@airllm/loader';
import { type ResolveModelOptions, resolveModel } from '@airllm/runtime';

/** What is known of a model: with its weights' headers where the weights are here. */
export interface ModelFiles {
  readonly dir: string;
  readonly config: Record<string, unknown>;
  /** Null where weights, or some of them, are not here. */
  readonly checkpoint: Checkpoint | null;
  /** Bytes of all weights as published, if anything tells. */
  readonly totalBytes: number | null;
}

/** Finds a model and reads what describes it, never a weight. Throws as `resolveModel` and `openCheckpoint` do. */
export async function openModelFiles(
  source: string,
  options: ResolveModelOptions,
  signal: AbortSignal,
): Promise<ModelFiles> {
  const { dir } = await resolveModel(source, { ...options, signal });
  const index = await openCheckpointIndex(dir);
  if (index.config === null) {
    throw new MissingFileError({ file: join(dir, 'config.json'), neededBy: dir });
  }
  const shards = [...index.files.values()];
  const checkpoint = await weightsHere(dir, signal);
  const sizes = shards.reduce<number | null>((sum, size) => (sum === null || size === null ? null : sum + size), 0);
  const totalBytes = index.totalBytes ?? (shards.length > 0 ? sizes : null);
  return { dir, config: index.config, checkpoint, totalBytes };
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

/** A checkpoint's headers, or null where some of its files are not here. */
async function weightsHere(dir: string, signal: AbortSignal): Promise<Checkpoint | null> {
  try {
    return await openCheckpoint(dir, { signal });
  } catch (error) {
    if (MissingFileError.isInstance(error) || UnsupportedCheckpointError.isInstance(error)) return null;
    if (FormatError.isInstance(error) && (await isLfsPointer(error.file))) return null;
    throw error;
  }
}

const LFS_POINTER = 'version https://git-lfs.github.com/spec/v1\n';
const LFS_POINTER_BYTES = 1024;

/** A clone without Git LFS has a few lines of text in place of each large file. */
async function isLfsPointer(file: string): Promise<boolean> {
  const { size } = await stat(file);
  return size <= LFS_POINTER_BYTES && (await readFile(file, 'latin1')).startsWith(LFS_POINTER);
}
