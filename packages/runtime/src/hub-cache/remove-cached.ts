import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CacheLayout } from '../hub/cache/cache-layout';
import { type CachedModel, type CachedSnapshot, readRefs } from './list-cached';
import { withLocks } from './with-locks';

/** What was removed of a repository, or would be. */
export interface RemovedModel {
  readonly repo: string;
  /** Snapshots that went, by commit. */
  readonly commits: readonly string[];
  /** Whether nothing of the repository is left. */
  readonly whole: boolean;
  readonly bytesFreed: number;
  /** Bytes of these snapshots that stay, since another one has the same files. */
  readonly bytesShared: number;
}

/** What {@link removeCached} removes of a model. */
export interface RemoveOptions {
  /** Snapshots to remove. @defaultValue all, and with them everything else that is there of the repository */
  readonly snapshots?: readonly CachedSnapshot[] | undefined;
  /** Only says what would be removed. */
  readonly dryRun?: boolean | undefined;
}

/**
 * Removes snapshots of a repository, with the files that no other snapshot has. What is interrupted leaves snapshots that
 * lack files, never blobs that nothing lists: the next removal ends it. Throws `CacheInUseError`.
 */
export async function removeCached(model: CachedModel, options: RemoveOptions = {}): Promise<RemovedModel> {
  const going = options.snapshots ?? model.snapshots;
  const staying = model.snapshots.filter(({ commit }) => !going.some((snapshot) => snapshot.commit === commit));
  const commits = going.map(({ commit }) => commit);
  const freed = blobsOf(going);
  const shared = blobsOf(staying);
  let bytesShared = 0;
  for (const [blob, bytes] of [...freed]) {
    if (!shared.has(blob)) continue;
    freed.delete(blob);
    bytesShared += bytes;
  }
  const whole = staying.length === 0;
  const bytesFreed = whole ? model.bytes : [...freed.values()].reduce((sum, bytes) => sum + bytes, 0);
  if (options.dryRun !== true) {
    const locks = dirname(new CacheLayout(dirname(model.dir), model.repo).lock(''));
    await withLocks(locks, model.repo, () => remove(model, { whole, going, blobs: [...freed.keys()], locks }));
  }
  return { repo: model.repo, commits, whole, bytesFreed, bytesShared };
}

interface Removal {
  readonly whole: boolean;
  readonly going: readonly CachedSnapshot[];
  readonly blobs: readonly string[];
  /** Folder of the repository's locks. */
  readonly locks: string;
}

async function remove({ dir, repo }: CachedModel, { whole, going, blobs, locks }: Removal): Promise<void> {
  const layout = new CacheLayout(dirname(dir), repo);
  const refs = join(dir, 'refs');
  if (whole) {
    // First what makes others believe that the rest is there.
    await rm(refs, { recursive: true, force: true });
    await rm(dir, { recursive: true, force: true });
    await rm(locks, { recursive: true, force: true });
    return;
  }
  const commits = new Set(going.map(({ commit }) => commit));
  for (const [name, commit] of await readRefs(refs)) {
    if (commits.has(commit)) await rm(join(refs, name), { force: true });
  }
  await dropEmptyFolders(refs);
  for (const blob of blobs) {
    await rm(blob, { force: true });
    await rm(layout.journal(basename(blob)), { force: true });
  }
  for (const snapshot of going) await rm(snapshot.dir, { recursive: true, force: true });
}

/** `refs/pr`, once its last reference has gone. */
async function dropEmptyFolders(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory()) continue;
    const path = join(dir, entry.name);
    await dropEmptyFolders(path);
    if ((await readdir(path)).length === 0) await rm(path, { recursive: true });
  }
}

/** Bytes of each file, by where they are. */
function blobsOf(snapshots: readonly CachedSnapshot[]): Map<string, number> {
  return new Map(snapshots.flatMap(({ files }) => files.map(({ blob, bytes }) => [blob, bytes])));
}
