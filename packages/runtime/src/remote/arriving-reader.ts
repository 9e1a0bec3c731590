import {
  DisposedError,
  type Extent,
  type HostBuffer,
  type Reader,
  type ReaderKind,
  type ReadOptions,
} from '@airllm/loader';
import type { Arrival } from '../engine/arrival';
import { isThere } from '../hub/cache/cache-layout';
import type { HubFile, Pull } from '../hub/types';
import { StaleWeightsError } from './errors';
import { nameIn } from './name-in';
import { Waiting } from './waiting';

/** A pull as a reader sees it. */
export type ArrivingFiles = Pick<Pull, 'repo' | 'dir' | 'files' | 'done' | 'ready' | 'written'>;

/**
 * Reads files of a snapshot that are still being downloaded: a read waits until its bytes have been written, and goes to
 * what there is of the file. Bytes are handed out before their file has been verified (a sha256 is known only of whole
 * files, and a pass must not wait for 5 GB to be complete); `settled` is where nothing goes on without that.
 */
export class ArrivingReader implements Reader, Arrival {
  readonly kind: ReaderKind;
  readonly alignment: number;
  readonly #reader: Reader;
  readonly #pull: ArrivingFiles;
  readonly #stop: (reason: unknown) => void;
  readonly #waiting = new Waiting();
  readonly #arriving: ReadonlySet<string>;
  /** Files of which bytes were handed out before they were verified. */
  readonly #handedOut = new Set<string>();
  /** True from when all files are there; paths are then as they are. */
  #complete = false;
  #stale: StaleWeightsError | undefined;

  /** `stop` ends the download; the reader below stays the caller's until this one is closed. */
  constructor(reader: Reader, pull: ArrivingFiles, stop: (reason: unknown) => void) {
    this.kind = reader.kind;
    this.alignment = reader.alignment;
    this.#reader = reader;
    this.#pull = pull;
    this.#stop = stop;
    this.#arriving = new Set(pull.files.map(({ path }) => path));
    pull.done.then(
      () => {
        this.#complete = true;
      },
      () => {},
    );
  }

  get stats(): Reader['stats'] {
    return this.#reader.stats;
  }

  span(extent: Extent): number {
    return this.#reader.span(extent);
  }

  async read(extent: Extent, into: HostBuffer, at: number, options: ReadOptions = {}): Promise<number> {
    const name = this.#complete ? undefined : this.#nameOf(extent.file);
    if (name === undefined) return this.#reader.read(extent, into, at, options);
    const { offset, length } = extent;
    const file = await this.#waiting.for(this.#pull.written(name, offset, offset + length), options.signal);
    if (!this.#complete) this.#handedOut.add(name);
    try {
      return await this.#reader.read({ file, offset, length }, into, at, options);
    } catch (error) {
      if (await isThere(file)) throw error;
      // It got its final name in between, or was thrown away: in the end it is in the snapshot.
      const ready = await this.#waiting.for(this.#pull.ready(name), options.signal);
      return this.#reader.read({ file: ready, offset, length }, into, at, options);
    }
  }

  kindOf(file: string): Promise<ReaderKind> {
    return this.#reader.kindOf(file);
  }

  /** To be told by the download what it throws away. */
  discarded(file: HubFile): void {
    if (this.#handedOut.has(file.path)) this.#stale ??= new StaleWeightsError(this.#pull.repo, file.path);
  }

  async settled(signal?: AbortSignal): Promise<void> {
    if (!this.#complete) await this.#waiting.for(this.#pull.done, signal);
    if (this.#stale !== undefined) throw this.#stale;
  }

  giveUp(reason: unknown): void {
    this.#waiting.giveUp(reason);
  }

  end(reason: unknown): void {
    this.#waiting.end(reason);
    this.#stop(reason);
  }

  async close(): Promise<void> {
    this.end(new DisposedError('reader'));
    await this.#pull.done.catch(() => {});
    await this.#reader.close();
  }

  #nameOf(path: string): string | undefined {
    const name = nameIn(this.#pull.dir, path);
    return this.#arriving.has(name) ? name : undefined;
  }
}
