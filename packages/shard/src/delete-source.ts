import { realpath, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { MissingFileError } from '@airllm/loader';
import { SourceChangedError } from './errors';
import { type Manifest, readManifest } from './manifest';
import type { ShardOptions } from './options';
import { weightFilesLeft } from './source';
import { verifyShards } from './verify';

/**
 * Goes on with a deletion that was interrupted: the target is complete, and some of the source's weights are gone.
 * Null if that is not the case. Everything is verified again before more is removed.
 */
export async function resumeDeletion(
  source: string,
  dir: string,
  options: ShardOptions,
): Promise<{ manifest: Manifest; deleted: readonly string[] } | null> {
  const manifest = await readManifest(dir).catch((error) => {
    if (MissingFileError.isInstance(error)) return null;
    throw error;
  });
  if (manifest === null) return null;
  const folder = await folderOf(source);
  const { left, gone, changed } = await weightFilesLeft(folder, manifest.source);
  if (gone.length === 0) return null;
  if (changed.length > 0) throw new SourceChangedError({ dir, changes: changed.map((file) => `${file} was changed`) });
  await verifyShards(dir, { signal: options.signal, onProgress: options.onProgress, concurrency: options.concurrency });
  return { manifest, deleted: await deleteWeights(left.map((file) => path.join(folder, file))) };
}

/** Removes files and, of links (the Hugging Face cache is made of them), what they point to: that frees the space. */
export async function deleteWeights(files: readonly string[]): Promise<string[]> {
  const deleted: string[] = [];
  for (const file of files) {
    const real = await realpath(file);
    await rm(real, { force: true });
    deleted.push(real);
    if (real !== path.resolve(file)) await rm(file, { force: true });
  }
  return deleted;
}

async function folderOf(source: string): Promise<string> {
  const found = await stat(source).catch(() => undefined);
  return found?.isDirectory() ? source : path.dirname(source);
}
