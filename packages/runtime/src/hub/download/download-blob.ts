import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { writeFailure } from '../cache/files';
import { BlobDownload, type BlobDownloadOptions } from './blob-download';
import { Journal } from './journal';

/** The bytes arrived, and are not those that the Hub promised. Never seen outside. */
export class WrongBytes extends Error {
  constructor(
    readonly algorithm: 'sha256' | 'git-sha1',
    readonly found: string,
  ) {
    super(`${algorithm} ${found}`);
  }
}

/**
 * Downloads one blob by ranges on several connections, going on where an earlier process stopped. It is hashed while it
 * arrives, and gets its name only when the hash is right. The caller holds the blob's lock.
 * Throws `WrongBytes` (nothing is kept then), `Changed`, `NoSpaceError`, `WriteError`, and `HubError`s.
 */
export async function downloadBlob(options: BlobDownloadOptions): Promise<void> {
  const { layout, file } = options;
  const path = layout.incomplete(file.etag);
  const { journal, state } = await Journal.open(layout.journal(file.etag), file.etag, file.size);
  let download: BlobDownload | undefined;
  try {
    const { handle, kept } = await openIncomplete(path, file.size);
    const known = kept ? state : { ranges: [], hashed: 0, hashState: undefined };
    if (!kept) await journal.checkpoint(known);
    download = new BlobDownload(options, path, handle, journal, known);
    const digest = await download.run();
    if (digest !== file.etag) {
      await download.close();
      await Promise.all([rm(path, { force: true }), journal.remove()]);
      throw new WrongBytes(download.algorithm, digest);
    }
    await download.close();
    // The journal stays until the drive has the bytes: see settle.ts.
    await journal.close();
    await rename(path, layout.blob(file.etag));
  } catch (error) {
    throw await writeFailure(error, path, file.size - (download?.bytesDone ?? 0));
  } finally {
    await download?.close();
    await journal.close().catch(() => {});
  }
}

/** The file so far; of the whole length from the start, so that readers may look at any part that has come. */
async function openIncomplete(path: string, size: number): Promise<{ handle: FileHandle; kept: boolean }> {
  const existing = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (existing && (await existing.stat()).size === size) return { handle: existing, kept: true };
  const handle = existing ?? (await open(path, 'w+', 0o664));
  await handle.truncate(size);
  return { handle, kept: false };
}
