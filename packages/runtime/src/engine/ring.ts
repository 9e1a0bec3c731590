/**
 * Places of a ring buffer, given out and taken back in the same order. A piece is never split: what does not fit before
 * the end starts again at 0, and the gap counts as taken until its piece is given back.
 */
export class Ring {
  readonly byteLength: number;
  /** Start of the oldest piece. */
  #tail = 0;
  /** Where the next piece would start. */
  #head = 0;
  readonly #pieces: { readonly offset: number; readonly bytes: number }[] = [];

  constructor(byteLength: number) {
    this.byteLength = byteLength;
  }

  get empty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Offset of a free run of `bytes`, or null when the oldest pieces must be given back first. */
  take(bytes: number): number | null {
    const offset = this.#place(bytes);
    if (offset === null) return null;
    this.#pieces.push({ offset, bytes });
    this.#head = offset + bytes;
    return offset;
  }

  /** Gives the oldest piece back. */
  give(): void {
    this.#pieces.shift();
    this.#tail = this.#pieces[0]?.offset ?? 0;
    if (this.empty) this.#head = 0;
  }

  clear(): void {
    this.#pieces.length = 0;
    this.#head = 0;
    this.#tail = 0;
  }

  #place(bytes: number): number | null {
    if (this.empty) return bytes <= this.byteLength ? 0 : null;
    if (this.#head > this.#tail) {
      if (this.#head + bytes <= this.byteLength) return this.#head;
      return bytes <= this.#tail ? 0 : null;
    }
    return this.#head + bytes <= this.#tail ? this.#head : null;
  }
}
