import { writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { SLAB_BYTES, type Slab, type SlabPool } from './slabs';
import type { Slots } from './slots';
import type { WritePace } from './write-pace';

/** A connection waits when so many of its bytes are not written yet, and goes on at half of it. */
const HIGH_WATER = 2 * SLAB_BYTES;

export interface RangeWriterOptions {
  readonly handle: FileHandle;
  readonly from: number;
  readonly slabs: SlabPool;
  readonly pace: WritePace;
  /** Shared by all writers: a drive that is full of work must not take all of libuv's threads. */
  readonly writes: Slots;
  /** Told of bytes that the system has taken over, in order. The slab may be kept. */
  readonly onWritten: (from: number, to: number, slab: Slab) => void;
}

/** Writes what a connection brings as it comes, so that a killed process loses next to nothing. */
export class RangeWriter {
  /** Slabs with bytes that are not written yet; the last one is being filled. */
  #slabs: Slab[] = [];
  #filled: number;
  #written: number;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #onDrain: (() => void) | undefined;

  constructor(private readonly options: RangeWriterOptions) {
    this.#filled = options.from;
    this.#written = options.from;
  }

  /** Copies the bytes. False if the caller should wait for `onDrain`. Throws if an earlier write failed. */
  push(bytes: Buffer): boolean {
    if (this.#failure) throw this.#failure.error;
    for (let done = 0; done < bytes.length; ) {
      const slab = this.#room();
      const at = this.#filled - slab.base;
      const length = Math.min(bytes.length - done, SLAB_BYTES - at);
      const piece = length === bytes.length ? bytes : bytes.subarray(done, done + length);
      slab.bytes.set(piece, at);
      const isNext = this.#filled === this.#written && this.#running === undefined;
      this.#filled += length;
      done += length;
      if (isNext && this.options.pace.atOnce) this.#writeAtOnce(piece, slab);
    }
    if (this.#written < this.#filled) this.#running ??= this.#run();
    return this.#filled - this.#written < HIGH_WATER;
  }

  onDrain(resume: () => void): void {
    this.#onDrain = resume;
  }

  /** Resolves when all is written, or throws what went wrong. */
  async finish(): Promise<void> {
    await this.#running;
    for (const slab of this.#slabs.splice(0)) slab.release();
    if (this.#failure) throw this.#failure.error;
  }

  #room(): Slab {
    const last = this.#slabs.at(-1);
    if (last && this.#filled < last.base + SLAB_BYTES) return last;
    const slab = this.options.slabs.take(this.#filled);
    this.#slabs.push(slab);
    return slab;
  }

  async #run(): Promise<void> {
    try {
      while (this.#written < this.#filled) await this.options.writes.run(() => this.#writeSome());
    } catch (error) {
      this.#failure = { error };
    }
    this.#running = undefined;
    this.#drained();
  }

  #writeAtOnce(piece: Buffer, slab: Slab): void {
    const { handle, pace } = this.options;
    const started = performance.now();
    try {
      for (let done = 0; done < piece.length; ) {
        done += writeSync(handle.fd, piece, done, piece.length - done, this.#written + done);
      }
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    pace.took(performance.now() - started);
    this.#wrote(this.#filled, slab);
  }

  async #writeSome(): Promise<void> {
    const slab = this.#slabs[0] as Slab;
    const from = this.#written;
    const to = Math.min(this.#filled, slab.base + SLAB_BYTES);
    // After a short write the next one says why, or writes the rest.
    const started = performance.now();
    for (let at = from; at < to; ) {
      const { bytesWritten } = await this.options.handle.write(slab.bytes, at - slab.base, to - at, at);
      at += bytesWritten;
    }
    this.options.pace.took(performance.now() - started);
    this.#wrote(to, slab);
    if (this.#filled - this.#written < HIGH_WATER / 2) this.#drained();
  }

  #wrote(to: number, slab: Slab): void {
    const from = this.#written;
    this.#written = to;
    this.options.onWritten(from, to, slab);
    if (to < slab.base + SLAB_BYTES) return;
    this.#slabs.shift();
    slab.release();
  }

  #drained(): void {
    const resume = this.#onDrain;
    this.#onDrain = undefined;
    resume?.();
  }
}
