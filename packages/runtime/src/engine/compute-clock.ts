import type { Observer } from './trace';

/** Measures what executors compute, where calls are handed over while those before them are computed. */
export class ComputeClock {
  readonly #observe: Observer;
  #milliseconds = 0;
  /** When the last call that was computed ended. */
  #until = 0;

  constructor(observe: Observer) {
    this.#observe = observe;
  }

  get milliseconds(): number {
    return this.#milliseconds;
  }

  async measure<T>(name: string, compute: () => Promise<T>): Promise<T> {
    const called = performance.now();
    const result = await compute();
    const end = performance.now();
    const start = Math.max(called, this.#until);
    this.#until = end;
    this.#milliseconds += end - start;
    this.#observe({ track: 'compute', name, start, end });
    return result;
  }
}
