/** A number of places that tasks take in turn; a smaller rank goes first, equals in the order they came. */
export class Slots {
  /** Below zero where places were taken away that are in use. */
  #free: number;
  #waiting: { readonly rank: number; readonly go: () => void }[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(task: () => Promise<T>, rank = 0, signal?: AbortSignal): Promise<T> {
    await this.#acquire(rank, signal);
    try {
      return await task();
    } finally {
      this.#release();
    }
  }

  /** Adds places, or takes some away as soon as they are free. */
  change(count: number): void {
    this.#free += count;
    this.#fill();
  }

  #acquire(rank: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting = this.#waiting.filter((each) => each !== entry);
        reject(signal?.reason);
      };
      const entry = {
        rank,
        go: () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
      };
      const at = this.#waiting.findIndex((each) => each.rank > rank);
      this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, entry);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  #release(): void {
    this.#free++;
    this.#fill();
  }

  #fill(): void {
    while (this.#free > 0 && this.#waiting.length > 0) {
      this.#free--;
      this.#waiting.shift()?.go();
    }
  }
}
