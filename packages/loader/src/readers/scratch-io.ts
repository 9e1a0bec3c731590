import { closeSync, constants, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { BLOCK } from '../extent';
import { foreignAvailable } from '../foreign';
import { pageAllocator } from '../memory';
import { checksumsAt, viewOf } from './checksums';
import { retried } from './file-io';
import { nativeIo } from './native-io';
import type { CreateReply, CreateRequest, Target, TruncateRequest, WriteReply, WriteRequest } from './protocol';

/** What a thread does for a scratch file, beside reading. */

/**
 * Makes a file and takes its name away at once where the system allows it: then nothing is left of it however the
 * process ends.
 */
export function createFile({ path }: CreateRequest): CreateReply {
  const plain = openSync(path, 'wx+', 0o600);
  let direct: number | undefined;
  try {
    direct = openDirect(path);
    const named = !unlinked(path);
    if (direct === undefined) return { fd: plain, direct: false, named };
    closeSync(plain);
    return { fd: direct, direct: true, named };
  } catch (error) {
    closeSync(plain);
    rmSync(path, { force: true });
    throw error;
  }
}

function unlinked(path: string): boolean {
  // Windows keeps the name of an open file, if not always.
  if (process.platform === 'win32') return false;
  rmSync(path);
  return true;
}

/** A descriptor that really takes a block past the page cache, or none. */
function openDirect(path: string): number | undefined {
  const flag: number | undefined = constants.O_DIRECT;
  if (process.platform !== 'linux' || flag === undefined || !foreignAvailable()) return undefined;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | flag);
  } catch {
    return undefined;
  }
  const block = pageAllocator().allocate(BLOCK);
  try {
    nativeIo().write(fd, block, BLOCK, 0);
    nativeIo().read(fd, block, BLOCK, 0);
    return fd;
  } catch {
    closeSync(fd);
    return undefined;
  } finally {
    pageAllocator().free(block, BLOCK);
  }
}

export function writeFile({ fd, direct, offset, length, source, checksumBytes }: WriteRequest): WriteReply {
  const checksums = checksumsAt(source, length, checksumBytes);
  const write = writerFrom(fd, source, length);
  for (let done = 0; done < length; ) done += retried(done, () => write(done, offset + done));
  // A scratch file is read once a pass: until then others need the memory more.
  if (!direct && process.platform === 'linux' && foreignAvailable()) nativeIo().dropCache(fd, offset, length);
  return { checksums };
}

function writerFrom(fd: number, source: Target, length: number): (done: number, offset: number) => number {
  if ('address' in source && process.platform !== 'win32') {
    const { write } = nativeIo();
    return (done, offset) => write(fd, source.address + BigInt(done), length - done, offset);
  }
  const view = viewOf(source, length);
  return (done, offset) => writeSync(fd, view, done, length - done, offset);
}

export function truncateFile({ fd, length }: TruncateRequest): void {
  ftruncateSync(fd, length);
}
