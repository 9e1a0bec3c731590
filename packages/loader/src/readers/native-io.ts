import { alignDown, alignUp, BLOCK } from '../extent';
import { foreignErrno, loadLibrary } from '../foreign';

type Address = number | bigint;

/** libc's blocking calls on descriptors and addresses. Errors are thrown with the system's name in `errno`. */
export interface NativeIo {
  read(fd: number, address: bigint, length: number, offset: number): number;
  write(fd: number, address: bigint, length: number, offset: number): number;
  dropCache(fd: number, offset: number, length: number): void;
  noCache(fd: number): void;
  map(fd: number, length: number): bigint;
  unmap(address: bigint, length: number): void;
  /** Has pages of a mapped file read that are not in memory, and does not wait for them. */
  willNeed(address: bigint, length: number): void;
  /** Takes whole pages of a mapped file out of the process; whoever touches them brings them back. */
  forget(address: bigint, length: number): void;
  copy(to: bigint, from: bigint, length: number): void;
  /** How many pages of a mapped range, which starts at a page, are not in memory (Linux). */
  absentPages(address: bigint, length: number): number;
  readonly pageBytes: number;
}

let io: NativeIo | undefined;

export function nativeIo(): NativeIo {
  io ??= open();
  return io;
}

const PROT_READ = 1;
const MAP_SHARED = 1;
const MAP_FAILED = 2n ** 64n - 1n;
const POSIX_FADV_DONTNEED = 4;
const MADV_WILLNEED = 3;
const MADV_DONTNEED = 4;
const F_NOCACHE = 48;

function open(): NativeIo {
  const libc = loadLibrary(null);
  // The result is ssize_t, a type koffi does not know; off_t has 64 bits on every platform we run on.
  const pread = libc.function<[number, Address, number, number], number>('pread', 'int64_t', [
    'int',
    'uintptr_t',
    'size_t',
    'int64_t',
  ]);
  const pwrite = libc.function<[number, Address, number, number], number>('pwrite', 'int64_t', [
    'int',
    'uintptr_t',
    'size_t',
    'int64_t',
  ]);
  const mmap = libc.function<[Address, number, number, number, number, number], Address>('mmap', 'uintptr_t', [
    'uintptr_t',
    'size_t',
    'int',
    'int',
    'int',
    'int64_t',
  ]);
  const munmap = libc.function<[Address, number], number>('munmap', 'int', ['uintptr_t', 'size_t']);
  const memcpy = libc.function<[Address, Address, number], Address>('memcpy', 'uintptr_t', [
    'uintptr_t',
    'uintptr_t',
    'size_t',
  ]);
  const madvise = libc.function<[Address, number, number], number>('madvise', 'int', ['uintptr_t', 'size_t', 'int']);
  return {
    read(fd, address, length, offset) {
      const count = pread(fd, address, length, offset);
      if (count < 0) throw systemError('pread');
      return count;
    },
    write(fd, address, length, offset) {
      const count = pwrite(fd, address, length, offset);
      if (count < 0) throw systemError('pwrite');
      return count;
    },
    map(fd, length) {
      const address = BigInt(mmap(0, length, PROT_READ, MAP_SHARED, fd, 0));
      if (address === MAP_FAILED) throw systemError('mmap');
      return address;
    },
    unmap: (address, length) => void munmap(address, length),
    willNeed: (address, length) => void madvise(address, length, MADV_WILLNEED),
    forget: (address, length) => void madvise(address, length, MADV_DONTNEED),
    copy: (to, from, length) => void memcpy(to, from, length),
    dropCache: cacheDropper(libc),
    ...residency(libc),
    noCache: (fd) => {
      const fcntl = libc.function<[number, number, string, number], number>('fcntl', 'int', ['int', 'int', '...']);
      fcntl(fd, F_NOCACHE, 'int', 1);
    },
  };
}

function cacheDropper(libc: ReturnType<typeof loadLibrary>): NativeIo['dropCache'] {
  if (process.platform !== 'linux') return () => {};
  const fadvise = libc.function<[number, number, number, number], number>('posix_fadvise', 'int', [
    'int',
    'int64_t',
    'int64_t',
    'int',
  ]);
  // Only whole pages are dropped, so the range is widened to them.
  return (fd, offset, length) => {
    const start = alignDown(offset, BLOCK);
    fadvise(fd, start, alignUp(offset + length, BLOCK) - start, POSIX_FADV_DONTNEED);
  };
}

function residency(libc: ReturnType<typeof loadLibrary>): Pick<NativeIo, 'absentPages' | 'pageBytes'> {
  const pageBytes = libc.function<[], number>('getpagesize', 'int', [])();
  const mincore = libc.function<[Address, number, Uint8Array], number>('mincore', 'int', [
    'uintptr_t',
    'size_t',
    'void *',
  ]);
  let states = new Uint8Array(4097);
  return {
    pageBytes,
    absentPages(address, length) {
      const pages = Math.ceil(length / pageBytes);
      if (pages > states.length) states = new Uint8Array(pages);
      if (mincore(address, length, states) !== 0) return pages;
      let absent = 0;
      for (let p = 0; p < pages; p++) absent += 1 - (states[p]! & 1);
      return absent;
    },
  };
}

function systemError(call: string): Error {
  const errno = foreignErrno();
  return Object.assign(new Error(`${call}: ${errno}`), { errno });
}
