import { type FileHandle, open } from 'node:fs/promises';
import { FormatError, MissingFileError, ReadError } from '@airllm/loader';
import { errnoName } from '../../system';

/** A file of which small parts are read. */
export class BinFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #signal: AbortSignal | undefined;

  private constructor(path: string, size: number, handle: FileHandle, signal: AbortSignal | undefined) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
    this.#signal = signal;
  }

  /** Opens a file for as long as `use` takes. Throws `MissingFileError`, `ReadError`, `FormatError` (no file). */
  static async with<T>(
    path: string,
    neededBy: string,
    signal: AbortSignal | undefined,
    use: (file: BinFile) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const handle = await open(path, 'r').catch((cause: unknown) => {
      if (errnoName(cause) === 'ENOENT') throw new MissingFileError({ file: path, neededBy, cause });
      throw new ReadError({ file: path, offset: 0, expected: 0, found: 0, errno: errnoName(cause), cause });
    });
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new FormatError({ file: path, reason: 'it is not a regular file' });
      return await use(new BinFile(path, stat.size, handle, signal));
    } finally {
      await handle.close();
    }
  }

  /** Exactly `length` bytes, or `ReadError`; rejects with the signal's reason once it is aborted. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#signal?.throwIfAborted();
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#handle
        .read(bytes, done, length - done, offset + done)
        .catch((cause: unknown) => {
          throw this.#failure(offset, length, done, errnoName(cause), cause);
        });
      if (bytesRead === 0) throw this.#failure(offset, length, done);
      done += bytesRead;
    }
    return bytes;
  }

  #failure(offset: number, expected: number, found: number, errno?: string, cause?: unknown): ReadError {
    return new ReadError({ file: this.path, offset, expected, found, errno, cause });
  }
}

/** Enough to hide a network drive's latency. */
const PARALLEL_READS = 16;

/** Works through items, a few at a time; rejects with the first failure. */
export async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async () => {
    while (next < items.length && !failed) {
      await work(items[next++]!).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const workers = Array.from({ length: Math.min(PARALLEL_READS, items.length) }, worker);
  // All have to end before the file is closed.
  const results = await Promise.allSettled(workers);
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
