import { SLAB_BYTES } from './slabs';

/** How much may be held in memory between all files, from writing until the hash has come there. */
export class HeldBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** Hardly more can be held. */
  get isTight(): boolean {
    return this.#left < 2 * SLAB_BYTES;
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
