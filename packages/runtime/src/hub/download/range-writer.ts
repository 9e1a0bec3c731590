import { writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { ByteSink } from '../http/exchange';
import type { ByteRange } from '../range-set';
import { type Progress, progress } from './progress-made';
import { SLAB_BYTES, type Slab, type SlabPool } from './slabs';
import type { Slots } from './slots';
import type { WritePace } from './write-pace';

/** A connection waits when so many of its bytes are not written yet, and goes on at half of it. */
const HIGH_WATER = 2 ** 21;
/** What is written just after it was read the processor has at hand: from further away a write takes thrice as long. */
const MOST_READ_BYTES = 2 ** 19;
/** Less than this waits for what else comes in this turn of the event loop: pieces of TLS are small. */
const WRITE_BYTES = 2 ** 17;

export interface RangeWriterOptions {
  readonly handle: FileHandle;
  readonly range: ByteRange;
  readonly slabs: SlabPool;
  readonly pace: WritePace;
  /** Shared by all writers: a drive that is full of work must not take all of libuv's threads. */
  readonly writes: Slots;
  /** What else a connection should wait for before it reads on. */
  readonly behind: () => Promise<void> | undefined;
  readonly onReceived: (bytes: number) => void;
  /** Told of bytes that the system has taken over, in order. The slab may be kept. */
  readonly onWritten: (from: number, to: number, slab: Slab) => void;
}

/**
 * Has a connection read into slabs, and writes what came at once, or at the end of the turn of the event loop: large pieces
 * where much comes, and a killed process loses next to nothing.
 */
export class RangeWriter implements ByteSink {
  /** Slabs with bytes that are not written yet; the last one is being filled. */
  #slabs: Slab[] = [];
  #filled: number;
  #written: number;
  #turnEnd: NodeJS.Immediate | undefined;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #drain: Progress | undefined;

  constructor(private readonly options: RangeWriterOptions) {
    this.#filled = options.range.from;
    this.#written = options.range.from;
  }

  /** Bytes of the range that have not come. */
  get missing(): number {
    return this.options.range.to - this.#filled;
  }

  /** Throws if there is more than was asked for. */
  room(): Uint8Array {
    if (this.missing === 0) throw new RangeError('the range is full');
    const last = this.#slabs.at(-1);
    const slab = last && this.#filled < last.base + SLAB_BYTES ? last : this.#nextSlab();
    const end = Math.min(slab.base + SLAB_BYTES, this.options.range.to, this.#filled + MOST_READ_BYTES);
    return slab.view(this.#filled, end);
  }

  /** Throws if an earlier write failed. */
  filled(bytes: number): Promise<void> | undefined {
    if (this.#failure) throw this.#failure.error;
    this.#filled += bytes;
    this.options.onReceived(bytes);
    if (this.#running === undefined) {
      if (this.#filled - this.#written >= WRITE_BYTES && this.options.pace.atOnce) this.#write();
      else this.#turnEnd ??= setImmediate(() => this.#write());
    }
    if (this.#filled - this.#written < HIGH_WATER) return this.options.behind();
    this.#drain ??= progress();
    return this.#drain.made;
  }

  /** Resolves when all is written, or throws what went wrong. */
  async finish(): Promise<void> {
    if (this.#turnEnd) this.#write();
    await this.#running;
    for (const slab of this.#slabs.splice(0)) slab.release();
    if (this.#failure) throw this.#failure.error;
  }

  #nextSlab(): Slab {
    // At multiples, so that writes are aligned, too.
    const slab = this.options.slabs.take(Math.floor(this.#filled / SLAB_BYTES) * SLAB_BYTES);
    this.#slabs.push(slab);
    return slab;
  }

  #write(): void {
    clearImmediate(this.#turnEnd);
    this.#turnEnd = undefined;
    try {
      while (this.#written < this.#filled && this.options.pace.atOnce) this.#writeAtOnce();
    } catch (error) {
      this.#failure = { error };
    }
    if (this.#written < this.#filled && this.#failure === undefined) this.#running ??= this.#run();
    this.#drained();
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

  #writeAtOnce(): void {
    const { handle, pace } = this.options;
    const piece = this.#next();
    const started = performance.now();
    for (let at = 0; at < piece.length; ) {
      at += writeSync(handle.fd, piece, at, piece.length - at, this.#written + at);
    }
    this.#wrote(piece.length);
    pace.took(performance.now() - started);
  }

  async #writeSome(): Promise<void> {
    const { handle, pace } = this.options;
    const piece = this.#next();
    const started = performance.now();
    // After a short write the next one says why, or writes the rest.
    for (let at = 0; at < piece.length; ) {
      at += (await handle.write(piece, at, piece.length - at, this.#written + at)).bytesWritten;
    }
    this.#wrote(piece.length);
    pace.took(performance.now() - started);
    this.#drained();
  }

  /** What one slab holds of the bytes that are not written. */
  #next(): Uint8Array {
    const slab = this.#slabs[0] as Slab;
    return slab.view(this.#written, Math.min(this.#filled, slab.base + SLAB_BYTES));
  }

  #wrote(bytes: number): void {
    const slab = this.#slabs[0] as Slab;
    const from = this.#written;
    this.#written += bytes;
    this.options.onWritten(from, this.#written, slab);
    if (this.#written < slab.base + SLAB_BYTES) return;
    this.#slabs.shift();
    slab.release();
  }

  #drained(): void {
    if (this.#failure === undefined && this.#filled - this.#written >= HIGH_WATER / 2) return;
    this.#drain?.tell();
    this.#drain = undefined;
  }
}
