/** Work that is begun piece by piece: the next piece while the one before is still under way, but never a third. */
export class OneAhead {
  #last: Promise<unknown> = Promise.resolve();

  /** Takes a piece that has begun, and waits for the one before. Rejects if that did. */
  async take(piece: Promise<unknown>): Promise<void> {
    const before = this.#last;
    this.#last = piece;
    // Whoever waits next meets the error; until then it must not count as unhandled.
    piece.catch(() => {});
    await before;
  }

  /** Waits for the last piece. Rejects if it did. */
  async settle(): Promise<void> {
    await this.#last;
  }
}
