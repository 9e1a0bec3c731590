import { readdir, readFile, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { OptionError } from '@airllm/loader';
import type { CacheLayout } from './cache/cache-layout';
import { acquireLock } from './cache/lock';
import { settleBlob, unsettledBlobs } from './download/settle';
import { RepositoryFileError } from './errors';
import { type ChooseOptions, chooseFiles } from './repo/choose-files';
import type { HubFile } from './types';

/** What a cache has of a repository at a revision. */
export interface CachedSnapshot {
  readonly dir: string;
  readonly commit: string;
  /** Paths of the files with weights, in the snapshot; undefined if some or all are missing. */
  readonly weights: readonly string[] | undefined;
  /** Whether all that a run needs is there, as far as the files themselves tell. */
  readonly isComplete: boolean;
  /** Why there are no weights. */
  readonly problem?: RepositoryFileError | OptionError;
}

const TOKENIZER = /^(tokenizer|tokenizer_config|vocab|merges|tekken)\.|\.(model|tiktoken)$/;

/** Looks for a snapshot, whoever downloaded it. Throws `OptionError` if it has several models and none was chosen. */
export async function findCached(
  layout: CacheLayout,
  revision: string,
  options: ChooseOptions = {},
  signal?: AbortSignal,
): Promise<CachedSnapshot | undefined> {
  const commit = (await layout.readRef(revision)) ?? revision;
  const dir = layout.snapshot(commit);
  for (const etag of await unsettledBlobs(layout)) await settle(layout, etag, signal);
  const files = await filesOf(dir);
  if (files === undefined) return undefined;
  const readIndex = ({ path }: HubFile) => readFile(join(dir, path), 'utf8');
  try {
    const chosen = await chooseFiles(layout.repo, files, options, readIndex);
    const weights = chosen.map(({ path }) => path).filter((path) => /\.(safetensors|bin|gguf)$/.test(path));
    const has = (pattern: RegExp) => chosen.some(({ path }) => pattern.test(path));
    const isComplete = has(/\.gguf$/) || (has(/^config\.json$/) && has(TOKENIZER));
    return { dir, commit, weights, isComplete };
  } catch (error) {
    // Another quantisation than the one that is named may be here.
    const isAbsent = options.quantisation !== undefined && OptionError.isInstance(error);
    if (!RepositoryFileError.isInstance(error) && !isAbsent) throw error;
    return { dir, commit, weights: undefined, isComplete: false, problem: error };
  }
}

async function settle(layout: CacheLayout, etag: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    const lock = await acquireLock(layout.lock(etag), signal);
    await settleBlob(layout, etag).finally(() => lock.release());
  } catch (error) {
    // A cache that is only lent cannot be mended, but read.
    if (!['EROFS', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) throw error;
  }
}

function errnoOf(error: unknown): string | undefined {
  const { errno, code } = error as { errno?: unknown; code?: unknown };
  return typeof errno === 'string' ? errno : typeof code === 'string' ? code : undefined;
}

/** Links to blobs that are not there are no files. */
async function filesOf(dir: string): Promise<HubFile[] | undefined> {
  const names = await readdir(dir, { recursive: true }).catch(() => undefined);
  const found = names?.map(async (name) => {
    const stats = await stat(join(dir, name)).catch(() => null);
    const path = name.split(sep).join('/');
    return stats?.isFile() ? [{ path, size: stats.size, etag: '', sha256: undefined }] : [];
  });
  return found && (await Promise.all(found)).flat();
}
