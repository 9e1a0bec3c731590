import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { BLOCK } from '../extent';
import { foreignAvailable } from '../foreign';
import { pageAllocator } from '../memory';
import { checksumsAt, viewOf } from './checksums';
import { nativeIo } from './native-io';
import { closeCache, isCached, viewCache } from './page-cache';
import type {
  CloseRequest,
  CopyRequest,
  Failure,
  OpenReply,
  OpenRequest,
  ReadReply,
  ReadRequest,
  Target,
} from './protocol';

/** Blocking file operations: what a reader thread does. */

/** Thrown inside the thread; the host makes a `ReadError` of it. */
export class IoFailure extends Error implements Failure {
  constructor(
    readonly errno: string | undefined,
    message: string,
    readonly found = 0,
  ) {
    super(message);
  }
}

export function openFile(request: OpenRequest): OpenReply {
  const { path, mode } = request;
  const fd = openSync(path, 'r');
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new IoFailure('EISDIR', 'it is not a regular file');
    const { size, dev: device } = stat;
    const reply: OpenReply = { fd, direct: false, size, device, mapping: undefined, cache: undefined };
    if (mode === 'mmap') return { ...reply, mapping: stat.size === 0 ? undefined : nativeIo().map(fd, stat.size) };
    if (mode === 'plain') {
      avoidCache(fd);
      return reply;
    }
    if (!request.plainDevices.includes(stat.dev)) {
      const direct = openDirect(path);
      if (typeof direct === 'number') {
        if (request.useCache) return { ...reply, fd: direct, direct: true, cache: viewCache(fd, path, stat) };
        closeSync(fd);
        return { ...reply, fd: direct, direct: true };
      }
      if (mode === 'direct') throw direct;
    } else if (mode === 'direct') {
      throw new IoFailure('EINVAL', 'the drive does not support direct I/O');
    }
    return reply;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** macOS has no O_DIRECT; F_NOCACHE is its way to keep streamed bytes out of the cache. */
function avoidCache(fd: number): void {
  if (process.platform === 'darwin' && foreignAvailable()) nativeIo().noCache(fd);
}

/** A descriptor that really delivers a block, or why not: on some drives the open succeeds and every read fails. */
function openDirect(path: string): number | IoFailure {
  const flag: number | undefined = constants.O_DIRECT;
  if (process.platform !== 'linux' || flag === undefined || !foreignAvailable()) {
    return new IoFailure('ENOSYS', 'direct I/O is not available on this platform');
  }
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | flag);
  } catch (error) {
    return new IoFailure((error as NodeJS.ErrnoException).code, `direct I/O: ${(error as Error).message}`);
  }
  const block = pageAllocator().allocate(BLOCK);
  try {
    nativeIo().read(fd, block, BLOCK, 0);
    return fd;
  } catch (error) {
    closeSync(fd);
    return new IoFailure((error as IoFailure).errno, `direct I/O: ${(error as Error).message}`);
  } finally {
    pageAllocator().free(block, BLOCK);
  }
}

/** Reads until `needed` bytes are there, from memory if the page cache has all of them. */
export function readFile(request: ReadRequest): ReadReply {
  const { cache, offset, needed, length, target, checksumBytes } = request;
  if (checksumBytes !== undefined) {
    return { bytes: readThrough(request), cached: false, checksums: checksumsAt(target, length, checksumBytes) };
  }
  if (cache === undefined || !isCached(cache, offset, needed)) return { bytes: readThrough(request), cached: false };
  const bytes = readThrough({ ...request, fd: cache.fd, direct: false, dropCache: false });
  return { bytes, cached: true };
}

/** Reads by the request's own descriptor, and returns how many bytes came. */
function readThrough(request: ReadRequest): number {
  const { fd, offset, length, needed, target } = request;
  const read = readerInto(fd, target, length);
  let done = 0;
  while (done < needed) {
    const count = retried(done, () => read(done, offset + done));
    done += count;
    // Direct I/O delivers less than a whole block only at the end of the file, and cannot go on from there.
    const ended = count === 0 || (request.direct && count % BLOCK !== 0);
    if (ended && done < needed) throw new IoFailure(undefined, 'the file ends', done);
  }
  if (request.dropCache && process.platform === 'linux' && foreignAvailable()) {
    nativeIo().dropCache(fd, offset, length);
  }
  return done;
}

type ReadPart = (done: number, offset: number) => number;

function readerInto(fd: number, target: Target, length: number): ReadPart {
  if ('address' in target && process.platform !== 'win32') {
    const { read } = nativeIo();
    return (done, offset) => read(fd, target.address + BigInt(done), length - done, offset);
  }
  return viewReader(fd, target, length);
}

/** Windows, and memory that has no address: Node's own read, synchronous in this thread. */
export function viewReader(fd: number, target: Target, length: number): ReadPart {
  const view = viewOf(target, length);
  return (done, offset) => readSync(fd, view, done, length - done, offset);
}

const RETRY_PAUSE_MS = 1;
const MAX_RETRIES = 1000;

/** Again after a signal or on a drive that is not ready; any other error ends the read. */
export function retried(found: number, read: () => number): number {
  for (let attempt = 0; ; attempt++) {
    try {
      return read();
    } catch (error) {
      const errno = (error as NodeJS.ErrnoException).code ?? (error as IoFailure).errno;
      if ((errno !== 'EINTR' && errno !== 'EAGAIN') || attempt === MAX_RETRIES) {
        throw new IoFailure(errno, (error as Error).message, found);
      }
      if (errno === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_PAUSE_MS);
    }
  }
}

/** Copies out of a mapping. Touching pages past the end of a file that shrank is SIGBUS: so look first. */
export function copyFile(request: CopyRequest): ReadReply {
  const { fd, mapping, offset, length, target } = request;
  const { size } = fstatSync(fd);
  if (offset + length > size) throw new IoFailure(undefined, 'the file ends', Math.max(0, size - offset));
  if (!('address' in target)) throw new IoFailure('ENOSYS', 'a mapping is only copied into native memory');
  nativeIo().copy(target.address, mapping + BigInt(offset), length);
  return { bytes: length, cached: false };
}

export function closeFile(request: CloseRequest): void {
  if (request.mapping !== undefined) nativeIo().unmap(request.mapping, request.size);
  if (request.cache !== undefined) closeCache(request.cache);
  closeSync(request.fd);
}
