import { accessSync, closeSync, constants, type Stats } from 'node:fs';
import { alignDown } from '../extent';
import { foreignAvailable } from '../foreign';
import { nativeIo } from './native-io';
import type { CacheView } from './protocol';

/**
 * What the page cache holds of a file that is read past it. Direct I/O goes to the drive even for bytes that lie in
 * memory; copying those from there is many times faster. The cache is only asked, by `mincore`, never filled: a read
 * through it (also one with RWF_NOWAIT) would start reading ahead and push out what others need.
 */

/** Takes over a buffered descriptor of the file; undefined, and the descriptor closed, where the cache cannot be asked. */
export function viewCache(fd: number, path: string, stat: Stats): CacheView | undefined {
  try {
    if (mayAsk(path, stat)) return { fd, mapping: nativeIo().map(fd, stat.size), size: stat.size };
  } catch {
    // No address space for it, or a file system without mappings: the drive will do.
  }
  closeSync(fd);
  return undefined;
}

/** The kernel tells owners and writers only; to everybody else all pages seem to be there (Linux, since 5.2). */
function mayAsk(path: string, { size, uid }: Stats): boolean {
  if (process.platform !== 'linux' || size === 0 || !foreignAvailable()) return false;
  if (process.geteuid?.() === uid) return true;
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Pages that are looked at first, so that a cold file costs next to nothing. */
const PROBE_PAGES = 16;

/** Bytes of a range that are not in memory; all of them where its first pages are not. */
export function absentBytes({ mapping, size }: CacheView, offset: number, length: number): number {
  const { absentPages, pageBytes } = nativeIo();
  const start = alignDown(offset, pageBytes);
  const end = Math.min(offset + length, size);
  if (start >= end) return length;
  const absent = (bytes: number) => absentPages(mapping + BigInt(start), bytes) * pageBytes;
  const probe = Math.min(end - start, PROBE_PAGES * pageBytes);
  return absent(probe) >= probe ? length : absent(end - start);
}

export function closeCache({ fd, mapping, size }: CacheView): void {
  nativeIo().unmap(mapping, size);
  closeSync(fd);
}
