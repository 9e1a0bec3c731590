/** Work that is done in order, begun piece by piece: the next piece while some before are still to be done, but not more. */
export class InOrder {
  readonly #most: number;
  #pieces: Promise<unknown>[] = [];

  /** @param most - Pieces that may be to be done when the next is begun. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Takes a piece that has begun, and waits until few enough are to be done. Rejects if one of them did. */
  async take(piece: Promise<unknown>): Promise<void> {
    // Whoever waits meets the error; until then it must not count as unhandled.
    piece.catch(() => {});
    this.#pieces.push(piece);
    while (this.#pieces.length > this.#most) await this.#pieces.shift();
  }

  /** Waits for all pieces. Rejects if one of them did, when none is left to be done. */
  async settle(): Promise<void> {
    const settled = await Promise.allSettled(this.#pieces);
    this.#pieces = [];
    for (const result of settled) if (result.status === 'rejected') throw result.reason;
  }
}
