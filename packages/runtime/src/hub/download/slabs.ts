/** Memory for bytes on their way: `bytes` holds the file's from `base` on. */
export class Slab {
  #users = 1;

  constructor(
    readonly base: number,
    readonly bytes: Buffer,
    private readonly giveBack: (bytes: Buffer) => void,
  ) {}

  keep(): void {
    this.#users++;
  }

  /** The last one to let go gives the memory back. */
  release(): void {
    this.#users--;
    if (this.#users === 0) this.giveBack(this.bytes);
  }

  view(from: number, to: number): Buffer {
    return this.bytes.subarray(from - this.base, to - this.base);
  }
}

/** What the hash takes at once at most: each way to its thread and back costs as much as hashing a MiB or two. */
export const SLAB_BYTES = 2 ** 22;

/** Slabs used again and again: a new buffer for every piece that comes makes V8 collect garbage all the time. */
export class SlabPool {
  #spare: Buffer[] = [];

  /** So many are kept for the next; the rest is for the garbage collector. */
  constructor(private readonly spare: number) {}

  take(base: number): Slab {
    const bytes = this.#spare.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
    return new Slab(base, bytes, (each) => {
      if (this.#spare.length < this.spare) this.#spare.push(each);
    });
  }
}
