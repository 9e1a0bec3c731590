import { open } from 'node:fs/promises';
import {
  type AbsentFolder,
  errnoName,
  FormatError,
  MissingFileError,
  openFailure,
  ReadError,
  readExactly,
} from '@airllm/loader';
import { KeptRanges } from './kept-ranges';

/** A file of which small parts are read. */
export interface RangedFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** False for one that is far away: every read then takes a while, and 64 KiB. */
  readonly isHere: boolean;
  /** Exactly `length` bytes, or `ReadError`; rejects with the signal's reason once it is aborted. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export interface SourceFilesOptions {
  /** Of files that are not here, ranges are read from there. */
  readonly absent?: AbsentFolder | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The files of a model: on the drive, or where those are that are still to come. */
export class SourceFiles {
  readonly #absent: AbsentFolder | undefined;
  readonly #signal: AbortSignal | undefined;
  /** What is read once of a file that is elsewhere is not asked for again. */
  readonly #kept = new Map<string, KeptRanges>();

  constructor({ absent, signal }: SourceFilesOptions = {}) {
    this.#absent = absent;
    this.#signal = signal;
  }

  /** Opens a file for as long as `use` takes. Throws `MissingFileError`, `ReadError`, `FormatError` (no file). */
  async with<T>(path: string, neededBy: string, use: (file: RangedFile) => Promise<T>): Promise<T> {
    this.#signal?.throwIfAborted();
    const handle = await open(path, 'r').catch((cause: unknown) => {
      if (errnoName(cause) !== 'ENOENT') throw openFailure(path, cause);
      if (this.#absent?.size(path) !== undefined) return null;
      throw new MissingFileError({ file: path, neededBy, cause });
    });
    if (handle === null) return use(this.#elsewhere(path));
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new FormatError({ file: path, reason: 'it is not a regular file' });
      const read = async (offset: number, length: number) => {
        this.#signal?.throwIfAborted();
        return readExactly(handle, { file: path, offset, length });
      };
      return await use({ path, size: stat.size, isHere: true, read });
    } finally {
      await handle.close();
    }
  }

  #elsewhere(path: string): RangedFile {
    const absent = this.#absent!;
    const size = absent.size(path)!;
    let kept = this.#kept.get(path);
    if (kept === undefined) {
      kept = new KeptRanges(size, (offset, length) => absent.read({ file: path, offset, length }, this.#signal));
      this.#kept.set(path, kept);
    }
    const ranges = kept;
    const read = async (offset: number, length: number) => {
      this.#signal?.throwIfAborted();
      const room = Math.max(0, size - offset);
      if (room < length) throw new ReadError({ file: path, offset, expected: length, found: room });
      return ranges.read(offset, length);
    };
    return { path, size, isHere: false, read };
  }
}
