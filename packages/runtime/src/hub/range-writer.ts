import type { FileHandle } from 'node:fs/promises';
import type { Slots } from './slots';

/** A connection waits when so many of its bytes are not written yet, and goes on at half of it. */
const HIGH_WATER = 2 ** 21;
const LARGEST_WRITE = 2 ** 20;

export interface RangeWriterOptions {
  readonly handle: FileHandle;
  readonly from: number;
  /** Shared by all writers: a drive that is full of work must not take all of libuv's threads. */
  readonly writes: Slots;
  /** Told of bytes that the system has taken over, in order. */
  readonly onWritten: (from: number, pieces: readonly Buffer[], length: number) => void;
}

/** Writes what a connection brings as it comes, so that a killed process loses next to nothing. */
export class RangeWriter {
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #at: number;
  #running: Promise<void> | undefined;
  #failure: unknown;
  #onDrain: (() => void) | undefined;

  constructor(private readonly options: RangeWriterOptions) {
    this.#at = options.from;
  }

  /** False if the caller should wait for `drained`. Throws if an earlier write failed. */
  push(bytes: Buffer): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#running ??= this.#run();
    return this.#pendingBytes < HIGH_WATER;
  }

  onDrain(resume: () => void): void {
    this.#onDrain = resume;
  }

  /** Resolves when all is written, or throws what went wrong. */
  async finish(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #run(): Promise<void> {
    try {
      while (this.#pending.length > 0) await this.options.writes.run(() => this.#writeSome());
    } catch (error) {
      this.#failure = error;
    }
    this.#running = undefined;
    this.#drained();
  }

  async #writeSome(): Promise<void> {
    const pieces: Buffer[] = [];
    let length = 0;
    while (this.#pending.length > 0 && length < LARGEST_WRITE) {
      const piece = this.#pending.shift() as Buffer;
      pieces.push(piece);
      length += piece.length;
    }
    await writeAll(this.options.handle, pieces, length, this.#at);
    this.#pendingBytes -= length;
    const from = this.#at;
    this.#at += length;
    this.options.onWritten(from, pieces, length);
    if (this.#pendingBytes < HIGH_WATER / 2) this.#drained();
  }

  #drained(): void {
    const resume = this.#onDrain;
    this.#onDrain = undefined;
    resume?.();
  }
}

async function writeAll(handle: FileHandle, pieces: readonly Buffer[], length: number, at: number): Promise<void> {
  const { bytesWritten } = await handle.writev(pieces, at);
  if (bytesWritten === length) return;
  // A short write: the next one says why, or writes the rest.
  const rest = Buffer.concat(pieces, length);
  for (let done = bytesWritten; done < length; ) {
    const { bytesWritten: more } = await handle.write(rest, done, length - done, at + done);
    done += more;
  }
}
