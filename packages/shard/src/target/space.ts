import { stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { errnoName } from '@airllm/loader';
import { NoSpaceError } from '../errors';

/** Beyond the files themselves: manifest, journal, folder entries, and the file system's own accounting. */
export const MARGIN_BYTES = 1 << 20;

/** Bytes that a user without privileges may still write where a folder is or will be. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(await existing(dir));
  return bavail * bsize;
}

/** What somebody else is about to write. */
export interface OtherWrites {
  readonly dir: string;
  readonly bytes: number;
}

/** Throws `NoSpaceError` unless files of these sizes fit, beside what others write to the same drive. */
export async function checkSpace(dir: string, sizes: readonly number[], others?: OtherWrites): Promise<void> {
  const at = await existing(dir);
  const { bsize } = await statfs(at);
  const own = sizes.reduce((sum, size) => sum + Math.ceil(size / bsize) * bsize, 0);
  if (own === 0) return;
  const isSameDrive = others !== undefined && (await stat(at)).dev === (await stat(await existing(others.dir))).dev;
  const needed = own + (isSameDrive ? others.bytes : 0);
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
