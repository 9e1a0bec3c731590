import { OptionError } from '../errors';
import { alignUp, BLOCK } from '../extent';
import { foreignAvailable } from '../foreign';
import type { Reader, ReaderKind } from '../reader';
import { ThreadedReader } from './threaded-reader';

/** How {@link openReader} reads. */
export interface ReaderOptions {
  /**
   * `auto` (the default): `direct` on Linux, falling back to `plain` file by file where a probe shows that the drive
   * does not know direct I/O; `plain` elsewhere. `direct` fails instead of falling back.
   */
  kind?: 'auto' | ReaderKind | undefined;
  /** Threads for each drive, and so requests it sees at once: 1 to 64, default 4. */
  threads?: number | undefined;
  /** Bytes of one request, rounded up to 4096: default 16 MiB. */
  requestBytes?: number | undefined;
  /**
   * What plain reads leave in the page cache (Linux). `drop`, the default, is for bytes that pass by once and would
   * push out what others need; `keep` for random access.
   */
  pageCache?: 'drop' | 'keep' | undefined;
  /**
   * Whether `direct` takes from the page cache what that holds already (Linux; of files the process owns or may write).
   * It never puts anything there. Default: true for `auto`, false for `direct`, which then measures the drive alone.
   */
  useCache?: boolean | undefined;
}

const DEFAULT_THREADS = 4;
const MAX_THREADS = 64;
const DEFAULT_REQUEST_BYTES = 16 * 2 ** 20;
/** A single system call moves at most 2^31 - 4096 bytes on Linux; more than this gains nothing. */
const MAX_REQUEST_BYTES = 2 ** 30;

/** Opens a reader. One thread starts at once, the others when reads keep it busy. Throws `OptionError`. */
export async function openReader(options: ReaderOptions = {}): Promise<Reader> {
  const threads = options.threads ?? DEFAULT_THREADS;
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new OptionError({ option: 'threads', expected: `1 to ${MAX_THREADS}`, found: threads });
  }
  const requestBytes = options.requestBytes ?? DEFAULT_REQUEST_BYTES;
  if (!Number.isInteger(requestBytes) || requestBytes < 1 || requestBytes > MAX_REQUEST_BYTES) {
    throw new OptionError({ option: 'requestBytes', expected: `1 to ${MAX_REQUEST_BYTES}`, found: requestBytes });
  }
  const asked = options.kind ?? 'auto';
  const kind = resolveKind(asked);
  const reader = new ThreadedReader({
    kind,
    mode: kind === 'direct' && asked !== 'direct' ? 'direct-or-plain' : kind,
    threads,
    requestBytes: alignUp(requestBytes, BLOCK),
    dropCache: (options.pageCache ?? 'drop') === 'drop',
    useCache: options.useCache ?? asked === 'auto',
  });
  reader.warmUp();
  return reader;
}

function resolveKind(kind: 'auto' | ReaderKind): ReaderKind {
  const directHere = process.platform === 'linux' && foreignAvailable();
  switch (kind) {
    case 'auto':
      return directHere ? 'direct' : 'plain';
    case 'direct':
      if (!directHere) throw unavailable(kind);
      return kind;
    case 'mmap':
      if (process.platform === 'win32' || !foreignAvailable()) throw unavailable(kind);
      return kind;
    case 'plain':
      return kind;
    default:
      throw new OptionError({ option: 'kind', expected: "'auto', 'direct', 'plain' or 'mmap'", found: kind });
  }
}

function unavailable(kind: ReaderKind): OptionError {
  return new OptionError({ option: 'kind', expected: "'auto' or 'plain' on this platform", found: kind });
}
