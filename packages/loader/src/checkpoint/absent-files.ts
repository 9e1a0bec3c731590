import { relative, sep } from 'node:path';
import { MissingFileError, ReadError } from '../errors';
import type { Extent } from '../extent';
import { errnoName } from '../system-errors';

/** Files that belong to a folder and are not there yet, e.g. while they are downloaded: known by size, read in ranges. */
export interface AbsentFiles {
  /** Bytes of each, by its name within the folder (`/` between parts). */
  readonly sizes: ReadonlyMap<string, number>;
  /**
   * Brings a range of one of them, exactly `length` bytes that lie within the file; for headers, at most 4 MiB. Throws
   * whatever says why it cannot.
   */
  read(name: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
}

/** Ranges of files that are absent from a folder, by the paths they will have. */
export class AbsentFolder {
  readonly #dir: string;
  readonly #files: AbsentFiles;

  constructor(dir: string, files: AbsentFiles) {
    this.#dir = dir;
    this.#files = files;
  }

  /** Bytes of the file of this path; undefined for one that is not among them. */
  size(path: string): number | undefined {
    return this.#files.sizes.get(this.#name(path));
  }

  /** Throws `ReadError` for a range outside the file or an answer of another length. */
  async read({ file, offset, length }: Extent, signal?: AbortSignal): Promise<Uint8Array> {
    const size = this.size(file) ?? 0;
    const room = Math.max(0, Math.min(length, size - offset));
    if (room < length) throw new ReadError({ file, offset, expected: length, found: room });
    const bytes = await this.#files.read(this.#name(file), offset, length, signal);
    if (bytes.byteLength !== length) throw new ReadError({ file, offset, expected: length, found: bytes.byteLength });
    return bytes;
  }

  #name(path: string): string {
    return relative(this.#dir, path).split(sep).join('/');
  }
}

/** What `here` makes of a file, or where that is not here, `elsewhere` of the one that will be. */
export async function hereOrAbsent<T>(
  file: string,
  absent: AbsentFolder | undefined,
  here: () => Promise<T>,
  elsewhere: (absent: AbsentFolder) => Promise<T>,
): Promise<T> {
  try {
    return await here();
  } catch (error) {
    const missing = MissingFileError.isInstance(error) || errnoName(error) === 'ENOENT';
    if (!missing || absent?.size(file) === undefined) throw error;
    return elsewhere(absent);
  }
}
