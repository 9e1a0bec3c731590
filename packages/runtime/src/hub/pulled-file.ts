import { type ByteRange, RangeSet } from './range-set';
import type { HubFile } from './types';

interface Reader extends ByteRange {
  readonly resolve: (path: string) => void;
  readonly reject: (error: unknown) => void;
}

/** How one file of a pull stands, and who waits for which of its bytes. */
export class PulledFile {
  /** Resolves with its path in the snapshot when it is complete and verified. */
  readonly ready: Promise<string>;
  isComplete = false;
  #ranges = new RangeSet();
  #path: string | undefined;
  #failure: { readonly error: unknown } | undefined;
  #readers: Reader[] = [];
  #resolve!: (path: string) => void;
  #reject!: (error: unknown) => void;

  /** `file` changes if the server's does. */
  constructor(public file: HubFile) {
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Nobody has to wait for it.
    this.ready.catch(() => {});
  }

  get bytesDone(): number {
    return this.isComplete ? this.file.size : this.#ranges.size;
  }

  async written(from: number, to: number): Promise<string> {
    if (this.#failure) throw this.#failure.error;
    if (this.#path !== undefined && this.#ranges.has(from, to)) return this.#path;
    return new Promise((resolve, reject) => this.#readers.push({ from, to, resolve, reject }));
  }

  /** What is there from the start, and where. */
  has(ranges: readonly ByteRange[], path: string): void {
    this.#path = path;
    for (const { from, to } of ranges) this.#ranges.add(from, to);
    this.#tell();
  }

  wrote(from: number, to: number): void {
    this.#ranges.add(from, to);
    this.#tell();
  }

  discard(now: HubFile): void {
    this.file = now;
    this.#ranges = new RangeSet();
  }

  complete(file: HubFile, path: string): void {
    this.file = file;
    this.isComplete = true;
    this.has([{ from: 0, to: file.size }], path);
    this.#resolve(path);
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#reject(error);
    for (const reader of this.#readers.splice(0)) reader.reject(error);
  }

  #tell(): void {
    const path = this.#path;
    if (path === undefined || this.#readers.length === 0) return;
    const come = this.#readers.filter(({ from, to }) => this.#ranges.has(from, to));
    this.#readers = this.#readers.filter((reader) => !come.includes(reader));
    for (const { resolve } of come) resolve(path);
  }
}
