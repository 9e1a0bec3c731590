import { type FileHandle, open } from 'node:fs/promises';
import { type AbsentFolder, type Extent, errnoName, openFailure, readExactly } from '@airllm/loader';

/** Reads in flight: what hides the latency of a network drive or a sleeping disk. */
const PARALLEL = 32;
/** Ranges this near to each other are read as one. */
const GAP = 16 << 10;
const LARGEST_READ = 1 << 20;

interface Request {
  readonly extent: Extent;
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Brings many small ranges: a quantised 405B model has thousands of blobs and tables that tell what its tensors mean.
 * Requests made in one go are sorted, joined where they lie together, and answered 32 at a time.
 */
export class SmallReads {
  readonly #signal: AbortSignal | undefined;
  readonly #absent: AbsentFolder | undefined;
  readonly #handles = new Map<string, Promise<FileHandle>>();
  #waiting: Request[] = [];

  /** `absent`: ranges of files that are not here are read from there. */
  constructor(signal: AbortSignal | undefined, absent?: AbsentFolder) {
    this.#signal = signal;
    this.#absent = absent;
  }

  /** Throws `MissingFileError`, `ReadError`, or the signal's reason. */
  read(extent: Extent): Promise<Uint8Array> {
    if (extent.length === 0) return Promise.resolve(new Uint8Array(0));
    if (this.#waiting.length === 0) setImmediate(() => void this.#flush());
    return new Promise((resolve, reject) => this.#waiting.push({ extent, resolve, reject }));
  }

  async close(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    for (const handle of handles) await handle.then((opened) => opened.close()).catch(() => undefined);
  }

  async #flush(): Promise<void> {
    const groups = joined(this.#waiting.sort(byPlace));
    this.#waiting = [];
    const work = async () => {
      for (let group = groups.shift(); group !== undefined; group = groups.shift()) await this.#answer(group);
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
  }

  async #answer(group: readonly Request[]): Promise<void> {
    const { file, offset } = group[0]!.extent;
    try {
      this.#signal?.throwIfAborted();
      const bytes = await this.#bytes({ file, offset, length: endOf(group) - offset });
      for (const { extent, resolve } of group) {
        const at = extent.offset - offset;
        // A copy (of a Buffer, `slice` is none), so that one small table does not keep the whole read alive.
        resolve(Uint8Array.prototype.slice.call(bytes, at, at + extent.length));
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  async #bytes(extent: Extent): Promise<Uint8Array> {
    const { file } = extent;
    const handle = await this.#open(file).catch((cause: unknown) => {
      if (errnoName(cause) === 'ENOENT' && this.#absent?.size(file) !== undefined) return null;
      throw openFailure(file, cause);
    });
    return handle === null ? this.#absent!.read(extent, this.#signal) : readExactly(handle, extent);
  }

  #open(file: string): Promise<FileHandle> {
    let handle = this.#handles.get(file);
    if (handle !== undefined) return handle;
    handle = open(file, 'r');
    this.#handles.set(file, handle);
    return handle;
  }
}

function byPlace({ extent: a }: Request, { extent: b }: Request): number {
  return a.file === b.file ? a.offset - b.offset : a.file < b.file ? -1 : 1;
}

function joined(sorted: readonly Request[]): Request[][] {
  const groups: Request[][] = [];
  for (const request of sorted) {
    const group = groups.at(-1);
    const { file, offset, length } = request.extent;
    const near =
      group !== undefined &&
      group[0]!.extent.file === file &&
      offset - endOf(group) <= GAP &&
      offset + length - group[0]!.extent.offset <= LARGEST_READ;
    if (near) group.push(request);
    else groups.push([request]);
  }
  return groups;
}

function endOf(group: readonly Request[]): number {
  return Math.max(...group.map(({ extent }) => extent.offset + extent.length));
}
