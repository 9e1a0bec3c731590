import { open, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openFailure } from '../system-errors';
import { theIndex } from './layout';
import { readConfig } from './read-json';
import { readWeightIndex } from './weight-index';

/** What a folder tells of a model without its weights: names, files and sizes, but neither dtypes nor shapes. */
export interface CheckpointIndex {
  readonly dir: string;
  readonly config: Record<string, unknown> | null;
  /** Tensor name to file name; empty if the folder has no index. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** Bytes of all tensors as the publisher gave them, else null. */
  readonly totalBytes: number | null;
  /** File name to bytes; null where neither the file nor a Git LFS pointer to it is here. */
  readonly files: ReadonlyMap<string, number | null>;
}

/** Reads an index and a configuration, for models whose weights are elsewhere. Throws as `openCheckpoint` does. */
export async function openCheckpointIndex(folder: string): Promise<CheckpointIndex> {
  const dir = resolve(folder);
  const names = await list(dir);
  const config = await readConfig(join(dir, 'config.json'));
  const name = theIndex(names) ?? theIndex(names, '.index.json');
  const index = name === undefined ? undefined : await readWeightIndex(join(dir, name));
  const shards = [...new Set(index?.weightMap.values())].sort();
  const sizes = await Promise.all(shards.map((shard) => publishedBytes(join(dir, shard))));
  return {
    dir,
    config,
    weightMap: index?.weightMap ?? new Map(),
    totalBytes: index?.totalBytes ?? null,
    files: new Map(shards.map((shard, i) => [shard, sizes[i]!])),
  };
}

async function list(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (cause) {
    throw openFailure(dir, cause);
  }
}

/** A clone made without Git LFS holds three lines in place of each shard, with its size. */
const LFS_POINTER = /^version https:\/\/git-lfs\.github\.com\/spec\/v1\n[\s\S]*^size (\d{1,15})$/m;
const LFS_POINTER_BYTES = 1024;

async function publishedBytes(file: string): Promise<number | null> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return null;
  try {
    const { size } = await handle.stat();
    if (size > LFS_POINTER_BYTES) return size;
    const pointer = LFS_POINTER.exec(await handle.readFile('latin1'));
    return pointer === null ? size : Number(pointer[1]);
  } finally {
    await handle.close();
  }
}
