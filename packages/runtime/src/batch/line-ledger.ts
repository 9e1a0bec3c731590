import { createHash } from 'node:crypto';
import type { BatchAnswer } from './answers';
import { DUPLICATE } from './errors';

/** Words of a digest: 128 bits, so that two of 2^40 lines meet with a chance of 2^-49. */
const WORDS = 4;
const SMALLEST = 1024;

/** What is known of a line. */
const ANSWERED = 1;
const SEEN = 2;

/**
 * Remembers which lines of a batch have been answered, and which `custom_id`s have occurred, in some 30 bytes for each: a
 * set of strings would need several times as much, and cannot hold more than 2^24.
 */
export class LineLedger {
  #digests = new Uint32Array(SMALLEST * WORDS);
  /** 0 where nothing is. */
  #flags = new Uint8Array(SMALLEST);
  #size = 0;

  /** Lines it knows something of. */
  get size(): number {
    return this.#size;
  }

  /** A line has its answer. Only a line that is alone with its `custom_id` is known by it, others by their number. */
  record({ custom_id: customId, error }: Pick<BatchAnswer, 'custom_id' | 'error'>): void {
    if (customId !== null && error?.code !== DUPLICATE) this.#mark(`id ${customId}`, ANSWERED);
    else if (error !== null) this.#mark(`line ${error.line}`, ANSWERED);
  }

  isAnswered(customId: string): boolean {
    return (this.#flags[this.#find(digestOf(`id ${customId}`))]! & ANSWERED) !== 0;
  }

  isLineAnswered(line: number): boolean {
    return (this.#flags[this.#find(digestOf(`line ${line}`))]! & ANSWERED) !== 0;
  }

  /** Whether this `custom_id` has occurred before; from now on it has. */
  sawBefore(customId: string): boolean {
    return (this.#mark(`id ${customId}`, SEEN) & SEEN) !== 0;
  }

  /** The input is read from its beginning: no `custom_id` has occurred. */
  startOver(): void {
    for (let i = 0; i < this.#flags.length; i++) this.#flags[i]! &= ~SEEN;
  }

  /** Returns the flags it had. */
  #mark(key: string, flag: number): number {
    if (2 * (this.#size + 1) > this.#flags.length) this.#grow();
    const digest = digestOf(key);
    const slot = this.#find(digest);
    const before = this.#flags[slot]!;
    // A slot whose flags were all taken back keeps its digest.
    if (before === 0 && !this.#holds(slot, digest)) {
      this.#digests.set(digest, slot * WORDS);
      this.#size++;
    }
    this.#flags[slot] = before | flag;
    return before;
  }

  /** The digest's slot, or the empty one it would go into. */
  #find(digest: Uint32Array): number {
    const mask = this.#flags.length - 1;
    for (let slot = digest[0]! & mask; ; slot = (slot + 1) & mask) {
      if (this.#isEmpty(slot) || this.#holds(slot, digest)) return slot;
    }
  }

  #holds(slot: number, digest: Uint32Array): boolean {
    return digest.every((word, i) => this.#digests[slot * WORDS + i] === word);
  }

  #isEmpty(slot: number): boolean {
    return (
      this.#flags[slot] === 0 && this.#digests.subarray(slot * WORDS, (slot + 1) * WORDS).every((word) => word === 0)
    );
  }

  #grow(): void {
    const [digests, flags] = [this.#digests, this.#flags];
    this.#digests = new Uint32Array(2 * digests.length);
    this.#flags = new Uint8Array(2 * flags.length);
    for (let old = 0; old < flags.length; old++) {
      const digest = digests.subarray(old * WORDS, (old + 1) * WORDS);
      if (digest.every((word) => word === 0)) continue;
      const slot = this.#find(digest);
      this.#digests.set(digest, slot * WORDS);
      this.#flags[slot] = flags[old]!;
    }
  }
}

function digestOf(key: string): Uint32Array {
  const hash = createHash('sha256').update(key, 'utf8').digest();
  return Uint32Array.from({ length: WORDS }, (_, i) => hash.readUInt32LE(4 * i));
}
