/** Pairs of token ids that merge into a third, by rank: an open hash table over typed arrays, 20 to 40 bytes a merge. */
export class MergeTable {
  private left: Int32Array;
  private right: Int32Array;
  private merged: Int32Array;
  /** rank + 1 by the hash of the pair; 0 is empty. */
  private slots: Int32Array;
  private size = 0;

  /** @param expected About how many merges will come; more and fewer are fine. */
  constructor(expected: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, expected)));
    this.left = new Int32Array(capacity);
    this.right = new Int32Array(capacity);
    this.merged = new Int32Array(capacity);
    this.slots = new Int32Array(2 * capacity);
  }

  /** Adds the merge of the next rank. Of two equal pairs the later counts, as in the reference. */
  add(left: number, right: number, merged: number): void {
    if (this.size === this.left.length) this.grow();
    const rank = this.size++;
    this.left[rank] = left;
    this.right[rank] = right;
    this.merged[rank] = merged;
    this.slots[this.slot(left, right)] = rank + 1;
  }

  /** Rank of a pair, or -1. */
  rank(left: number, right: number): number {
    return this.slots[this.slot(left, right)]! - 1;
  }

  /** The token a merge of this rank makes. */
  result(rank: number): number {
    return this.merged[rank]!;
  }

  private grow(): void {
    this.left = doubled(this.left);
    this.right = doubled(this.right);
    this.merged = doubled(this.merged);
    this.slots = new Int32Array(2 * this.slots.length);
    for (let rank = 0; rank < this.size; rank++) this.slots[this.slot(this.left[rank]!, this.right[rank]!)] = rank + 1;
  }

  private slot(left: number, right: number): number {
    const mask = this.slots.length - 1;
    let at = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0;
    at = (at ^ (at >>> 15)) & mask;
    for (;;) {
      const rank = this.slots[at]! - 1;
      if (rank < 0 || (this.left[rank] === left && this.right[rank] === right)) return at;
      at = (at + 1) & mask;
    }
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}
