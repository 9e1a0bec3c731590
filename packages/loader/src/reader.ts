import { BLOCK, type Extent } from './extent';
import type { HostBuffer } from './host-buffer';

/**
 * How bytes get from the drive into memory: `direct` past the page cache (O_DIRECT), `plain` through it, `mmap` copied
 * out of a mapping (for random access to single tensors; never for streaming).
 */
export type ReaderKind = 'direct' | 'plain' | 'mmap';

/** Offsets and lengths that a reader of a kind asks the drive for are multiples of this: 4096 for `direct`, else 1. */
export function readAlignment(kind: ReaderKind): number {
  return kind === 'direct' ? BLOCK : 1;
}

/** What {@link Reader.read} takes beside where from and where to. */
export interface ReadOptions {
  /** Takes back requests not begun yet; the read rejects with its reason once none is running. */
  signal?: AbortSignal | undefined;
}

/** What a reader has done since it was opened. */
export interface ReaderStats {
  /** Bytes brought so far, alignment included. */
  readonly bytesRead: number;
  /** Of these, bytes that `direct` found in the page cache. */
  readonly bytesCached: number;
  /** Requests answered so far. */
  readonly requests: number;
  /** Wall-clock milliseconds during which at least one request was being answered, by the busiest of several drives. */
  readonly busyMs: number;
}

/** A file whose pages are computed with where the page cache has them. */
export interface MappedFile {
  readonly file: string;
  /** The whole file, as long as its reader is open: a byte lies at its offset in the file. Writing to it is a crash. */
  readonly buffer: HostBuffer;
  /**
   * Touching pages past the end of a file that was cut ends the process (SIGBUS), and one that was written to is another:
   * so look, before much is computed with it. Throws `ReadError`.
   */
  check(): void;
  /** Takes an extent's pages out of this process's account. Whoever still reads them brings them back. */
  release(extent: Extent): void;
}

/** Brings extents of files into host buffers, on threads of its own. One reader serves any number of files. */
export interface Reader {
  readonly kind: ReaderKind;
  /** What {@link readAlignment} says of its kind: extents are widened to it. */
  readonly alignment: number;
  /** Bytes of buffer a read of this extent occupies: for `direct` the 4 KiB-aligned superset of the extent. */
  span(extent: Extent): number;
  /**
   * Reads an extent to `at` and resolves to the offset within `into` of its first byte (`at` itself unless `direct`,
   * which wants `at` in multiples of 4096). Several reads may be in flight; the buffer is leased meanwhile.
   * Throws `ReadError` (never delivers zeros for bytes it could not read), `OptionError`, `DisposedError`.
   */
  read(extent: Extent, into: HostBuffer, at: number, options?: ReadOptions): Promise<number>;
  /**
   * The file of an extent that the page cache holds, but for a few pages, to be used uncopied; null where it does not, or
   * where this reader leaves the cache alone. A reader that never maps lacks it.
   */
  mapCached?(extent: Extent): Promise<MappedFile | null>;
  /** How this file is really read: `direct` falls back to `plain` where the drive does not know it. */
  kindOf(file: string): Promise<ReaderKind>;
  readonly stats: ReaderStats;
  /** Waits for the requests being answered, rejects the ones not begun, ends the threads. Idempotent. */
  close(): Promise<void>;
}
