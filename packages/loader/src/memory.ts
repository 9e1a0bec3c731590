import { BLOCK } from './extent';
import { type ForeignLibrary, foreignErrno, loadLibrary } from './foreign';

/** Pages from the operating system, outside any heap. */
export interface PageAllocator {
  /** Zeroed, page-aligned. Throws with the system's error name. */
  allocate(byteLength: number): bigint;
  /** Gives the memory back but keeps the addresses valid (reading gives zeros), for views that are still around. */
  discard(address: bigint, byteLength: number): void;
  /** Gives back memory and addresses. */
  free(address: bigint, byteLength: number): void;
}

let allocator: PageAllocator | undefined;

export function pageAllocator(): PageAllocator {
  allocator ??= process.platform === 'win32' ? windowsPages() : posixPages();
  return allocator;
}

const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = process.platform === 'darwin' ? 0x1000 : 0x20;
/** `(void *)-1`, what mmap answers on failure. */
const MAP_FAILED = 2n ** 64n - 1n;

type Address = number | bigint;

function posixPages(): PageAllocator {
  const libc = loadLibrary(null);
  const mmap = libc.function<[Address, number, number, number, number, number], Address>('mmap', 'uintptr_t', [
    'uintptr_t',
    'size_t',
    'int',
    'int',
    'int',
    'int64_t',
  ]);
  const munmap = libc.function<[Address, number], number>('munmap', 'int', ['uintptr_t', 'size_t']);
  const map = (at: bigint, byteLength: number, flags: number) => {
    const address = BigInt(mmap(at, byteLength, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0));
    if (address === MAP_FAILED) throw new Error(foreignErrno());
    return address;
  };
  const useHugePages = hugePages(libc);
  return {
    allocate: (byteLength) => {
      const address = map(0n, byteLength, 0);
      useHugePages(address, byteLength);
      return address;
    },
    // Fresh pages over the old ones: unlike madvise, it frees at once on macOS too.
    discard: (address, byteLength) => {
      map(address, byteLength, MAP_FIXED);
      useHugePages(address, byteLength);
    },
    free: (address, byteLength) => void munmap(address, byteLength),
  };
}

const MADV_HUGEPAGE = 14;
const HUGE_PAGE = 2 ** 21;

/**
 * Linux, whose distributions give huge pages only to those who ask. Direct I/O pins pages one by one: on a busy
 * 2-core machine it brought 2.2 GB/s into huge pages and 0.8 into small ones, at half the processor time. Whole huge
 * pages inside the range only, so a buffer never takes more than its size; a kernel without them says no, and that is
 * fine.
 */
function hugePages(libc: ForeignLibrary): (address: bigint, byteLength: number) => void {
  if (process.platform !== 'linux') return () => {};
  const madvise = libc.function<[Address, number, number], number>('madvise', 'int', ['uintptr_t', 'size_t', 'int']);
  return (address, byteLength) => {
    if (byteLength >= HUGE_PAGE) madvise(address, byteLength, MADV_HUGEPAGE);
  };
}

const MEM_COMMIT = 0x1000;
const MEM_RESERVE = 0x2000;
const MEM_DECOMMIT = 0x4000;
const MEM_RELEASE = 0x8000;
const PAGE_READWRITE = 4;

function windowsPages(): PageAllocator {
  const kernel32 = loadLibrary('kernel32.dll');
  const virtualAlloc = kernel32.function<[Address, number, number, number], Address>('VirtualAlloc', 'uintptr_t', [
    'uintptr_t',
    'size_t',
    'uint32_t',
    'uint32_t',
  ]);
  const virtualFree = kernel32.function<[Address, number, number], number>('VirtualFree', 'int', [
    'uintptr_t',
    'size_t',
    'uint32_t',
  ]);
  const commit = (at: bigint, byteLength: number, type: number) => {
    const address = BigInt(virtualAlloc(at, byteLength, type, PAGE_READWRITE));
    if (address === 0n) throw new Error('VirtualAlloc refused');
    return address;
  };
  return {
    allocate: (byteLength) => commit(0n, byteLength, MEM_RESERVE | MEM_COMMIT),
    discard: (address, byteLength) => {
      virtualFree(address, byteLength, MEM_DECOMMIT);
      commit(address, byteLength, MEM_COMMIT);
    },
    free: (address) => void virtualFree(address, 0, MEM_RELEASE),
  };
}

/** Whole pages for a number of bytes. At least one: mmap refuses nothing. */
export function wholePages(byteLength: number): number {
  return Math.max(BLOCK, Math.ceil(byteLength / BLOCK) * BLOCK);
}
