import { createHash, randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type CacheLayout, isThere } from '../cache/cache-layout';
import { ensureFolder, writeFailure } from '../cache/files';
import { acquireLock } from '../cache/lock';
import { ChecksumError, FileChangedError, RepositoryFileError } from '../errors';
import type { HubClient } from '../repo/client';
import type { HubFile } from '../types';
import type { BlobDownloadOptions } from './blob-download';
import { downloadBlob, WrongBytes } from './download-blob';
import { Changed } from './remote-file';
import { settleBlob } from './settle';

export interface FetchFileOptions extends Omit<BlobDownloadOptions, 'address' | 'file'> {
  readonly repo: string;
  readonly commit: string;
  readonly file: HubFile;
  /** What was written of a file is thrown away; `now` is what the server has instead. */
  readonly onDiscarded: (file: HubFile, now: HubFile) => void;
}

/** Up to this a file is fetched whole, in memory; it may come in compressed form. */
const SMALL_BYTES = 2 ** 20;
const MAX_VERSIONS = 3;

/**
 * Sees to it that a file is in its snapshot, complete and verified, and returns its path there. What the cache has, whoever
 * downloaded it, is taken; another process that is downloading it is waited for.
 */
export async function fetchFile(options: FetchFileOptions): Promise<{ path: string; file: HubFile }> {
  const { layout, commit, signal } = options;
  let { file } = options;
  for (let versions = 1; ; versions++) {
    const pointer = layout.pointer(commit, file.path);
    if ((await hasSize(pointer, file.size)) && !(await isThere(layout.journal(file.etag))))
      return { path: pointer, file };
    await ensureFolder(dirname(layout.blob(file.etag)));
    const lock = await acquireLock(layout.lock(file.etag), signal, () => tellWait(options, file));
    try {
      const known = (await hasSize(layout.blob(file.etag), file.size)) && (await settleBlob(layout, file.etag));
      if (!known) await download(options, file);
      else options.onResumed([{ from: 0, to: file.size }], layout.blob(file.etag));
      // One of another size is what somebody left of it.
      if (!(await hasSize(pointer, file.size))) await rm(pointer, { force: true });
      return { path: await layout.point(commit, file.path, file.etag), file };
    } catch (error) {
      if (!(error instanceof Changed)) throw await writeFailure(error, layout.blob(file.etag), file.size);
      await forget(layout, file);
      const now = await currentVersion(options, file, error, versions);
      options.onDiscarded(file, now);
      file = now;
    } finally {
      await lock.release();
    }
  }
}

/** Twice if need be: a byte that was bent once on its way is no reason to give up. */
async function download(options: FetchFileOptions, file: HubFile): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { client, repo, commit, context, rank, signal } = options;
      const address = { repo, revision: commit, path: file.path };
      if (file.size > SMALL_BYTES) {
        await downloadBlob({ ...options, file, address });
      } else {
        await context.slots.run(() => downloadSmall(client, options, file), rank, signal);
      }
      return;
    } catch (error) {
      if (!(error instanceof WrongBytes)) throw error;
      options.onDiscarded(file, file);
      if (attempt < 2) continue;
      const { algorithm, found } = error;
      const { repo } = options;
      throw new ChecksumError({ repo, file: file.path, algorithm, expected: file.etag, found });
    }
  }
}

async function downloadSmall(client: HubClient, options: FetchFileOptions, file: HubFile): Promise<void> {
  const { layout, repo, commit, signal } = options;
  const blob = layout.blob(file.etag);
  const bytes = await client.readFile({ repo, revision: commit, path: file.path }, { signal });
  options.onReceived(bytes.length);
  const lfs = file.sha256 !== undefined;
  const hash = lfs ? createHash('sha256') : createHash('sha1').update(`blob ${bytes.length}\0`);
  const found = hash.update(bytes).digest('hex');
  if (found !== file.etag) throw new WrongBytes(lfs ? 'sha256' : 'git-sha1', found);
  const temporary = `${blob}.${randomBytes(4).toString('hex')}.incomplete`;
  try {
    const handle = await open(temporary, 'wx', 0o664);
    try {
      await handle.writeFile(bytes);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(temporary, blob);
  } catch (error) {
    await rm(temporary, { force: true });
    throw await writeFailure(error, temporary, file.size);
  }
  options.onWritten(0, file.size);
}

async function currentVersion(
  { client, repo, commit, signal }: FetchFileOptions,
  file: HubFile,
  changed: Changed,
  versions: number,
): Promise<HubFile> {
  if (versions >= MAX_VERSIONS) {
    throw new FileChangedError({ repo, file: file.path, expected: file.etag, found: changed.found });
  }
  const now = (await client.listFiles(repo, commit, { signal })).find(({ path }) => path === file.path);
  if (now) return now;
  throw new RepositoryFileError({ repo, file: file.path, reason: `${file.path} is no longer there` });
}

async function forget(layout: CacheLayout, file: HubFile): Promise<void> {
  await rm(layout.incomplete(file.etag), { force: true });
  await rm(layout.journal(file.etag), { force: true });
}

function tellWait({ client, repo }: FetchFileOptions, { path }: HubFile): void {
  client.settings.onDelay?.({ type: 'waiting', for: 'download', repo, file: path });
}

async function hasSize(path: string, size: number): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile() && stats.size === size,
    () => false,
  );
}
