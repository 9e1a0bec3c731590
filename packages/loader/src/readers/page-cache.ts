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

/** Whether all pages of a range are in memory; looks at the first one first, so that a cold file costs next to nothing. */
export function isCached({ mapping, size }: CacheView, offset: number, length: number): boolean {
  const { absentPages, pageBytes } = nativeIo();
  const start = alignDown(offset, pageBytes);
  const end = Math.min(offset + length, size);
  if (start >= end) return false;
  const absent = (bytes: number) => absentPages(mapping + BigInt(start), bytes);
  return absent(1) === 0 && absent(end - start) === 0;
}

/** Of each so many pages some are looked at: all of a model's would take as long as loading its tokenizer. */
const SAMPLE_EVERY = 256;
const SAMPLE = 16;

/** About what share of a range's pages is not in memory. */
export function absentShare({ mapping, size }: CacheView, offset: number, length: number): number {
  const { absentPages, pageBytes } = nativeIo();
  const end = Math.min(offset + length, size);
  let absent = 0;
  let looked = 0;
  for (let at = alignDown(offset, pageBytes); at < end; at += SAMPLE_EVERY * pageBytes) {
    const run = Math.min(SAMPLE * pageBytes, end - at);
    absent += absentPages(mapping + BigInt(at), run);
    looked += Math.ceil(run / pageBytes);
  }
  return looked === 0 ? 1 : absent / looked;
}

export function closeCache({ fd, mapping, size }: CacheView): void {
  nativeIo().unmap(mapping, size);
  closeSync(fd);
}
