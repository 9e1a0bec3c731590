/** Which rows of a table lie in which slot of a memory for some of them: those wanted last. */
export class KeptRows {
  readonly #slots: number;
  /** Slot by row, the one wanted longest ago first. */
  readonly #places = new Map<number, number>();

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** The slot of a row that is kept, which is now the one wanted last. */
  find(row: number): number | undefined {
    const slot = this.#places.get(row);
    if (slot === undefined) return undefined;
    this.#places.delete(row);
    this.#places.set(row, slot);
    return slot;
  }

  /** A slot for a row that was not kept, in the place of the one wanted longest ago. */
  add(row: number): number {
    let slot = this.#places.size;
    if (slot === this.#slots) {
      const [oldest] = this.#places.keys();
      slot = this.#places.get(oldest!)!;
      this.#places.delete(oldest!);
    }
    this.#places.set(row, slot);
    return slot;
  }
}
