import { stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { NoSpaceError } from '../errors';
import { errnoName } from '../system';

/** Beyond the files themselves: manifest, journal, folder entries, and the file system's own accounting. */
export const MARGIN_BYTES = 1 << 20;

/** Bytes that a user without privileges may still write where a folder is or will be. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(await existing(dir));
  return bavail * bsize;
}

/** Throws `NoSpaceError` unless files of these sizes fit. */
export async function checkSpace(dir: string, sizes: readonly number[]): Promise<void> {
  const { bsize } = await statfs(await existing(dir));
  const needed = sizes.reduce((sum, size) => sum + Math.ceil(size / bsize) * bsize, 0);
  if (needed === 0) return;
  const available = await freeBytes(dir);
  if (needed + MARGIN_BYTES > available) throw new NoSpaceError({ dir, needed: needed + MARGIN_BYTES, available });
}

/** The folder itself or the nearest one above it. */
async function existing(dir: string): Promise<string> {
  for (let at = path.resolve(dir); ; at = path.dirname(at)) {
    try {
      await stat(at);
      return at;
    } catch (error) {
      if (errnoName(error) !== 'ENOENT' || at === path.dirname(at)) throw error;
    }
  }
}
