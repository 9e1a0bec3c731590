import { createHash } from 'node:crypto';
import { readdir, readFile, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { makeFolder } from '@airllm/loader';
import { type Manifest, readManifest } from '@airllm/shard';
import { writeJson } from '../write-json';
import { type ConversionCacheOptions, conversionRoot } from './conversion-cache';

/** A split checkpoint, wherever it lies. */
export interface ShardedCopy {
  /** Absolute path. */
  readonly dir: string;
  /** The folder or file it was made from. */
  readonly source: string;
  /** Of its weights. */
  readonly bytes: number;
}

const FOLDER = 'sharded';

/** Notes where a split checkpoint was written, so that `listSharded` finds it. */
export async function recordSharded(dir: string, source: string, options: ConversionCacheOptions = {}): Promise<void> {
  const path = await realpath(dir);
  const file = recordOf(path, options);
  await makeFolder(dirname(file));
  await writeJson(file, { dir: path, source: await realpath(source) });
}

/** Split checkpoints that were noted and are still there, by path. */
export async function listSharded(options: ConversionCacheOptions = {}): Promise<ShardedCopy[]> {
  const root = shardedRoot(options);
  const names = await readdir(root).catch(() => []);
  const found = await Promise.all(names.filter((name) => name.endsWith('.json')).map((name) => read(join(root, name))));
  return found.flatMap((copy) => copy ?? []).sort((a, b) => (a.dir < b.dir ? -1 : 1));
}

/**
 * Removes a split checkpoint: the files that its manifest names, and the folder if nothing else is in it. Undefined where
 * the folder holds none.
 */
export async function removeSharded(
  dir: string,
  options: ConversionCacheOptions = {},
): Promise<{ bytes: number } | undefined> {
  const path = await realpath(dir).catch(() => undefined);
  const manifest = path && (await manifestOf(path));
  if (!manifest) return undefined;
  const names = [...manifest.files, ...manifest.extras].map(({ file }) => file);
  let bytes = 0;
  // The manifest last: what an interruption leaves can be removed again.
  for (const name of [...names, 'manifest.json']) {
    const file = join(path, name);
    bytes += (await stat(file).catch(() => undefined))?.size ?? 0;
    await rm(file, { force: true });
  }
  await rmdir(path).catch(() => {});
  await rm(recordOf(path, options), { force: true });
  return { bytes };
}

async function read(file: string): Promise<ShardedCopy | undefined> {
  try {
    const { dir, source } = JSON.parse(await readFile(file, 'utf8')) as { dir: string; source: string };
    const manifest = await manifestOf(dir);
    return manifest && { dir, source, bytes: manifest.files.reduce((sum, { bytes }) => sum + bytes, 0) };
  } catch {
    return undefined;
  }
}

/** Undefined for a folder that was moved, removed or is something else. */
async function manifestOf(dir: string): Promise<Manifest | undefined> {
  return (await readManifest(dir).catch(() => null)) ?? undefined;
}

function shardedRoot(options: ConversionCacheOptions): string {
  return resolve(dirname(conversionRoot(options)), FOLDER);
}

function recordOf(path: string, options: ConversionCacheOptions): string {
  return join(shardedRoot(options), `${createHash('sha256').update(path).digest('hex').slice(0, 24)}.json`);
}
