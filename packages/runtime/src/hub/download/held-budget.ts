/** How much may be held in memory between all files, from writing until the hash has come there. */
export class HeldBudget {
  #left: number;

  constructor(private readonly bytes: number) {
    this.#left = bytes;
  }

  /** Half of it is taken: time for whoever brings more to wait, if he can. */
  get isTight(): boolean {
    return this.#left < this.bytes / 2;
  }

  /** Whether so many bytes may be held. What is `urgent` may be over and above. */
  take(bytes: number, urgent: boolean): boolean {
    if (bytes > this.#left && !urgent) return false;
    this.#left -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#left += bytes;
  }
}
