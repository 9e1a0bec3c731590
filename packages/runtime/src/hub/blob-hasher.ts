import type { FileHandle } from 'node:fs/promises';
import { ReadError } from '@airllm/loader';
import { type BlobHash, blobHash } from './blob-hash';
import type { RangeSet } from './range-set';
import type { Slots } from './slots';

const STEP = 2 ** 20;

/** How much may be held in memory between all files, from writing until the hash has come there. */
export class HeldBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#left += bytes;
  }
}

export interface BlobHasherOptions {
  readonly handle: FileHandle;
  readonly file: string;
  readonly size: number;
  readonly etag: string;
  readonly ranges: RangeSet;
  readonly budget: HeldBudget;
  /** Shared by all hashers, so that libuv's threads are left to others. */
  readonly hashes: Slots;
  readonly resume: { readonly hashed: number; readonly state: Uint8Array | undefined };
  readonly onHashed: (to: number, state: Uint8Array | undefined) => void;
  readonly signal: AbortSignal;
}

/**
 * Hashes a file in order while its ranges arrive out of order: from memory where the bytes are still held, else by reading
 * back what was written a moment ago.
 */
export class BlobHasher {
  readonly #options: BlobHasherOptions;
  readonly #hash: BlobHash;
  readonly #held = new Map<number, Buffer>();
  readonly #scratch = Buffer.allocUnsafeSlow(STEP);
  #wake: (() => void) | undefined;
  #stopped = false;
  hashed: number;
  /** The state after `hashed` bytes. */
  state: Uint8Array | undefined;

  constructor(options: BlobHasherOptions) {
    this.#options = options;
    const { size, etag, resume } = options;
    const resumed = resume.state && blobHash(size, etag, resume.state);
    this.#hash = resumed ?? (blobHash(size, etag) as BlobHash);
    this.hashed = resumed ? resume.hashed : 0;
    this.state = this.#hash.save();
  }

  get algorithm(): BlobHash['algorithm'] {
    return this.#hash.algorithm;
  }

  /** Bytes that were written just now; they must not change. */
  offer(from: number, pieces: readonly Buffer[]): void {
    let at = from;
    for (const piece of pieces) {
      if (at >= this.hashed && !this.#held.has(at) && this.#options.budget.take(piece.length))
        this.#held.set(at, piece);
      at += piece.length;
    }
    this.#wake?.();
  }

  /** Hashes until the end of the file has come, and returns the digest; undefined if stopped before. */
  async run(): Promise<string | undefined> {
    const { size, ranges, hashes, onHashed, signal } = this.#options;
    while (this.hashed < size) {
      const end = ranges.endOf(this.hashed);
      if (this.#stopped || signal.aborted) return undefined;
      if (end === this.hashed) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      const bytes = this.#takeHeld() ?? (await hashes.run(() => this.#readBack(end)));
      await hashes.run(() => this.#hash.update(bytes));
      this.hashed += bytes.length;
      this.state = this.#hash.save();
      onHashed(this.hashed, this.state);
    }
    return this.#hash.digest();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake?.();
    this.drop();
  }

  /** Lets go of what is held. */
  drop(): void {
    for (const piece of this.#held.values()) this.#options.budget.give(piece.length);
    this.#held.clear();
  }

  /** The pieces in memory from here on, as one. */
  #takeHeld(): Buffer | undefined {
    let length = 0;
    for (;;) {
      const piece = this.#held.get(this.hashed + length);
      if (piece === undefined) break;
      if (length === 0 && piece.length > STEP) return this.#letGo(this.hashed, piece);
      if (length + piece.length > STEP) break;
      this.#scratch.set(piece, length);
      this.#letGo(this.hashed + length, piece);
      length += piece.length;
    }
    return length > 0 ? this.#scratch.subarray(0, length) : undefined;
  }

  #letGo(at: number, piece: Buffer): Buffer {
    this.#held.delete(at);
    this.#options.budget.give(piece.length);
    return piece;
  }

  async #readBack(end: number): Promise<Buffer> {
    let to = Math.min(end, this.hashed + STEP);
    for (const [at, piece] of this.#held) {
      if (at < this.hashed) this.#letGo(at, piece);
      else if (at < to) to = at;
    }
    const expected = to - this.hashed;
    const { bytesRead } = await this.#options.handle.read(this.#scratch, 0, expected, this.hashed);
    if (bytesRead !== expected) {
      throw new ReadError({ file: this.#options.file, offset: this.hashed, expected, found: bytesRead });
    }
    return this.#scratch.subarray(0, expected);
  }
}
