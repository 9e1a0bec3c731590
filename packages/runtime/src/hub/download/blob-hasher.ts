import type { FileHandle } from 'node:fs/promises';
import { ReadError } from '@airllm/loader';
import type { RangeSet } from '../range-set';
import { type BlobHash, blobHash } from './blob-hash';
import type { HeldBudget } from './held-budget';
import { type Progress, progress } from './progress-made';
import { SLAB_BYTES, type Slab } from './slabs';
import type { Slots } from './slots';

const STEP = 2 ** 20;
/** Fewer are not worth the way to another thread, unless they are the last ones. */
const LEAST_BYTES = 2 ** 19;

/** What comes so close behind the hash is held in any case: it will soon be let go again. */
const NEAR_BYTES = 2 ** 22;

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
  /** By their start. */
  readonly #held = new Map<number, Piece>();
  /** How many of them each slab has. */
  readonly #pieces = new Map<Slab, number>();
  #scratch: Buffer | undefined;
  /** Given while it waits for bytes. */
  #wake: (() => void) | undefined;
  #progress: Progress | undefined;
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

  /** Bytes that were written just now. */
  offer(from: number, to: number, slab: Slab): void {
    if (from >= this.hashed && !this.#held.has(from) && this.#mayHold(slab, from < this.hashed + NEAR_BYTES)) {
      this.#pieces.set(slab, (this.#pieces.get(slab) ?? 0) + 1);
      slab.keep();
      this.#held.set(from, { from, to, slab });
    }
    if (this.#hasWork()) this.#wakeUp();
  }

  /**
   * Resolves when some more is hashed; undefined if nobody has to wait. Where the network is quicker than the hash, bytes that
   * do not fit into memory until then would have to be read back.
   */
  behind(): Promise<void> | undefined {
    if (this.#wake || this.#stopped || !this.#options.budget.isTight) return undefined;
    this.#progress ??= progress();
    return this.#progress.made;
  }

  /** Hashes until the end of the file has come, and returns the digest; undefined if stopped before. */
  async run(): Promise<string | undefined> {
    const { size, ranges, hashes, onHashed, signal } = this.#options;
    while (this.hashed < size) {
      if (this.#stopped || signal.aborted) return undefined;
      if (!this.#hasWork()) {
        this.#tellProgress();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const end = ranges.endOf(this.hashed);
      const held = this.#takeHeld();
      const bytes = held?.bytes ?? (await hashes.run(() => this.#readBack(end)));
      await hashes.run(() => this.#hash.update(bytes));
      this.hashed += bytes.length;
      for (const piece of held?.pieces ?? []) this.#letGo(piece);
      this.state = this.#hash.save();
      onHashed(this.hashed, this.state);
      this.#tellProgress();
    }
    return this.#hash.digest();
  }

  stop(): void {
    this.#stopped = true;
    this.#wakeUp();
    this.#tellProgress();
    this.drop();
  }

  /** Lets go of what is held. */
  drop(): void {
    for (const piece of this.#held.values()) this.#letGo(piece);
    this.#held.clear();
  }

  #hasWork(): boolean {
    const { ranges, size } = this.#options;
    const end = ranges.endOf(this.hashed);
    return end === size || end - this.hashed >= LEAST_BYTES;
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #tellProgress(): void {
    this.#progress?.tell();
    this.#progress = undefined;
  }

  /** The pieces in memory from here on that lie side by side. They stay in use until the hash has taken them. */
  #takeHeld(): { bytes: Buffer; pieces: readonly Piece[] } | undefined {
    const first = this.#held.get(this.hashed);
    if (first === undefined) return undefined;
    const pieces: Piece[] = [];
    let to = this.hashed;
    for (let piece: Piece | undefined = first; piece?.slab === first.slab; piece = this.#held.get(to)) {
      this.#held.delete(piece.from);
      pieces.push(piece);
      to = piece.to;
    }
    return { bytes: first.slab.view(first.from, to), pieces };
  }

  /** A slab takes all its memory, however little of it is held. */
  #mayHold(slab: Slab, urgent: boolean): boolean {
    return this.#pieces.has(slab) || this.#options.budget.take(SLAB_BYTES, urgent);
  }

  #letGo({ slab }: Piece): void {
    const left = (this.#pieces.get(slab) as number) - 1;
    if (left > 0) {
      this.#pieces.set(slab, left);
    } else {
      this.#pieces.delete(slab);
      this.#options.budget.give(SLAB_BYTES);
    }
    slab.release();
  }

  async #readBack(end: number): Promise<Buffer> {
    let to = Math.min(end, this.hashed + STEP);
    for (const piece of this.#held.values()) {
      if (piece.from >= this.hashed) {
        to = Math.min(to, piece.from);
        continue;
      }
      this.#held.delete(piece.from);
      this.#letGo(piece);
    }
    const expected = to - this.hashed;
    this.#scratch ??= Buffer.allocUnsafeSlow(STEP);
    const { bytesRead } = await this.#options.handle.read(this.#scratch, 0, expected, this.hashed);
    if (bytesRead !== expected) {
      throw new ReadError({ file: this.#options.file, offset: this.hashed, expected, found: bytesRead });
    }
    return this.#scratch.subarray(0, expected);
  }
}

interface Piece {
  readonly from: number;
  readonly to: number;
  readonly slab: Slab;
}
