import { sep } from 'node:path';
import {
  type CachedModel,
  type CachedSnapshot,
  type ConvertedCopy,
  listCached,
  listConverted,
  listSharded,
  type ShardedCopy,
} from '@airllm/runtime';

/** What airllm and others have put on this machine's drives. */
export interface CacheContents {
  readonly models: readonly CachedModel[];
  readonly converted: readonly ConvertedCopy[];
  readonly sharded: readonly ShardedCopy[];
}

export interface CacheOptions {
  readonly cacheDir?: string | undefined;
}

export async function cacheContents(options: CacheOptions): Promise<CacheContents> {
  const [models, converted, sharded] = await Promise.all([
    listCached(options),
    listConverted(options),
    listSharded(options),
  ]);
  return { models, converted, sharded };
}

/** Whether a copy was made from a snapshot: its folder, or one of its files, whose real path is that of a blob. */
export function isMadeFrom(source: string | null, { dir, files }: CachedSnapshot): boolean {
  if (source === null) return false;
  return source === dir || source.startsWith(`${dir}${sep}`) || files.some(({ blob }) => blob === source);
}

/** Whether a copy whose making was interrupted, which has its name alone, was to be one of a repository. */
export function isNamedAfter(name: string, repo: string): boolean {
  return (
    name.startsWith(`${repo.replace('/', '--')}-`) &&
    /^[0-9a-f]{12}$/.test(name.slice(repo.length + 2, repo.length + 14))
  );
}

/** `org/name@0123456` for what lies in a snapshot, else the path. */
export function sourceName(source: string, models: readonly CachedModel[]): string {
  for (const { repo, snapshots } of models) {
    const found = snapshots.find((snapshot) => isMadeFrom(source, snapshot));
    if (found !== undefined) return `${repo}@${shortCommit(found.commit)}`;
  }
  return source;
}

export function shortCommit(commit: string): string {
  return commit.slice(0, 7);
}

/** `safetensors, gptq`. */
export function formatName({ format, quantisation }: CachedSnapshot): string {
  const quantised = quantisation === null ? '' : `, ${quantisation}`;
  return `${format ?? 'no weights'}${quantised}`;
}

/** `main (0123456)`. */
export function revisionName({ commit, refs }: CachedSnapshot): string {
  return refs.length === 0 ? shortCommit(commit) : `${refs.join(', ')} (${shortCommit(commit)})`;
}

/** What keeps a snapshot from running, or nothing. */
export function incompleteness({ missing }: CachedSnapshot): string {
  if (missing.length === 0) return '';
  return missing.length === 1 ? '1 file missing' : `${missing.length} files missing`;
}
