import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HubFile } from '../types';
import type { CacheLayout } from './cache-layout';

/** Bytes of a file that need not come again: blobs of other revisions, and what was begun. */
export async function cachedBytes(layout: CacheLayout, { etag, size }: HubFile): Promise<number> {
  if (await stat(layout.blob(etag)).catch(() => null)) return size;
  const begun = await stat(layout.incomplete(etag)).catch(() => null);
  // Holes take no room.
  return Math.min(size, begun ? begun.blocks * 512 : 0);
}

/** What a download would still bring; files of the same content come once. */
export async function missingBytes(layout: CacheLayout, files: readonly HubFile[]): Promise<number> {
  const contents = new Map(files.map((file) => [file.etag, file])).values();
  const missing = [...contents].map(async (file) => file.size - (await cachedBytes(layout, file)));
  return (await Promise.all(missing)).reduce((sum, bytes) => sum + bytes, 0);
}

/** Free on the drive that a folder is on, or will be. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(await nearestFolder(dir));
  return bavail * bsize;
}

/** The folder itself, or what of its path is there. */
async function nearestFolder(dir: string): Promise<string> {
  const parent = dirname(dir);
  return parent === dir || (await stat(dir).catch(() => null)) ? dir : nearestFolder(parent);
}
