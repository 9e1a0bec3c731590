import type { Vocabulary } from './vocabulary';

/**
 * Which tokens merge into which, by rank. A merge is known by the token it makes and the length of its left part, which
 * together say what both parts are: so a table of hundreds of thousands of merges is filled with one look into the
 * vocabulary each, in the order of the tokens, where one by pairs of ids would take four in no order (and 40 bytes a
 * merge instead of 12).
 */
export class MergeTable {
  private merged: Int32Array;
  private leftBytes: Int32Array;
  /** rank + 1 of the merge before that makes the same token; 0 is none. */
  private before: Int32Array;
  /** rank + 1 of the last merge that makes a token, by its id. */
  private readonly last: Int32Array;
  private size = 0;
  /** The token of the last merge. */
  private latest = 0;
  /** Of two tokens of the same text only one is meant. */
  private readonly guesses: boolean;

  /**
   * @param vocab Complete but for added tokens, which no merge makes.
   * @param prefix Bytes of the prefix of tokens within a word: the right part loses it.
   * @param expected About how many merges will come; more and fewer are fine.
   */
  constructor(
    private readonly vocab: Vocabulary,
    private readonly prefix: number,
    expected: number,
  ) {
    const capacity = Math.max(16, Math.ceil(expected));
    this.merged = new Int32Array(capacity);
    this.leftBytes = new Int32Array(capacity);
    this.before = new Int32Array(capacity);
    this.last = new Int32Array(vocab.size);
    this.guesses = vocab.isUnambiguous;
  }

  /** Adds the merge of the next rank, of the tokens in two pieces of bytes; false where the vocabulary lacks the result. */
  add(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): boolean {
    const merged = this.find(a, aStart, aEnd, b, Math.min(bEnd, bStart + this.prefix), bEnd);
    if (merged === undefined) return false;
    this.latest = merged;
    if (this.size === this.merged.length) this.grow();
    const rank = this.size++;
    this.merged[rank] = merged;
    this.leftBytes[rank] = aEnd - aStart;
    this.before[rank] = this.last[merged]!;
    this.last[merged] = rank + 1;
    return true;
  }

  /**
   * The token two pieces make. Vocabularies number their tokens in the order of the merges, as far as is known, so it is
   * that of the merge before or the next: looked at first, as its bytes lie at hand, and a look by hash is a cache miss.
   */
  private find(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number) {
    const { vocab, latest } = this;
    if (this.guesses) {
      if (vocab.isJoined(latest, a, aStart, aEnd, b, bStart, bEnd)) return latest;
      if (vocab.isJoined(latest + 1, a, aStart, aEnd, b, bStart, bEnd)) return latest + 1;
    }
    return vocab.idOfJoined(a, aStart, aEnd, b, bStart, bEnd);
  }

  /** Rank of a pair, or -1. Of two equal pairs the later counts, as in the reference. */
  rank(left: number, right: number): number {
    const merged = this.vocab.idOfPair(left, right, this.prefix);
    if (merged === undefined || merged >= this.last.length) return -1;
    const length = this.vocab.byteLength(left);
    let rank = this.last[merged]! - 1;
    while (rank >= 0 && this.leftBytes[rank] !== length) rank = this.before[rank]! - 1;
    return rank;
  }

  /** The token a merge of this rank makes. */
  result(rank: number): number {
    return this.merged[rank]!;
  }

  private grow(): void {
    this.merged = doubled(this.merged);
    this.leftBytes = doubled(this.leftBytes);
    this.before = doubled(this.before);
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}
