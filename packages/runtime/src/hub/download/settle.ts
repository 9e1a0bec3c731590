import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { bootId, isSameBoot } from '../cache/boot-id';
import type { CacheLayout } from '../cache/cache-layout';
import { type BlobHash, blobHash } from './blob-hash';
import { journalBoot } from './journal';

const STEP = 2 ** 20;
/** By then the system has written by itself what it was given, and waiting for the drive takes no time. */
const WRITTEN_BY_ITSELF_MS = 60_000;

/**
 * Settles a blob that was complete and verified when it got its name, but of which nobody waited until the drive had it:
 * that would double the time of a quick download. While the machine runs it is good. If the machine was started anew before
 * the journal beside it was taken away, a power failure may have eaten bytes: it is read once, and removed if it is wrong.
 * Returns whether the blob may be used. The caller holds its lock.
 */
export async function settleBlob(layout: CacheLayout, etag: string): Promise<boolean> {
  const journal = layout.journal(etag);
  const [text, stats] = await Promise.all([
    readFile(journal, 'utf8').catch(() => undefined),
    stat(journal).catch(() => null),
  ]);
  if (text === undefined || stats === null) return true;
  const boot = journalBoot(text);
  const blob = layout.blob(etag);
  if (boot !== undefined && isSameBoot(boot, await bootId())) {
    if (Date.now() - stats.mtimeMs < WRITTEN_BY_ITSELF_MS) return true;
    await syncFile(blob);
  } else if ((await hashFile(blob, etag)) !== etag) {
    await rm(blob, { force: true });
    await rm(journal, { force: true });
    return false;
  }
  await rm(journal, { force: true });
  return true;
}

/** The blobs of a repository that have to be settled before they are used. */
export async function unsettledBlobs(layout: CacheLayout): Promise<string[]> {
  const suffix = basename(layout.journal(''));
  const names = await readdir(join(layout.root, 'blobs')).catch(() => []);
  const etags = names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
  const there = await Promise.all(etags.map((etag) => stat(layout.blob(etag)).catch(() => null)));
  return etags.filter((_, index) => there[index]?.isFile());
}

async function hashFile(path: string, etag: string): Promise<string | undefined> {
  const handle = await open(path).catch(() => null);
  if (handle === null) return undefined;
  try {
    const { size } = await handle.stat();
    const hash = blobHash(size, etag) as BlobHash;
    const bytes = Buffer.allocUnsafeSlow(STEP);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await handle.read(bytes, 0, STEP, at);
      if (bytesRead === 0) return undefined;
      await hash.update(bytes.subarray(0, bytesRead));
      at += bytesRead;
    }
    return hash.digest();
  } finally {
    await handle.close();
  }
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+').catch(() => null);
  await handle?.datasync().catch(() => {});
  await handle?.close();
}
