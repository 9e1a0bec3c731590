import type { Engine } from '../engine';
import type { GenerateStats } from './types';

/** Times one generation, and counts what the drive brought meanwhile. */
export class Stopwatch {
  readonly #engine: Engine;
  readonly #start = performance.now();
  readonly #bytesBefore: number;
  #first: number | undefined;
  #last = 0;
  #tokens = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#bytesBefore = engine.stats.bytesRead;
  }

  token(): void {
    this.#last = performance.now();
    this.#first ??= this.#last;
    this.#tokens++;
  }

  stats(seed: number): GenerateStats {
    const first = this.#first ?? this.#start;
    const after = this.#last - first;
    return {
      firstTokenSeconds: (first - this.#start) / 1000,
      tokensPerSecond: this.#tokens > 1 && after > 0 ? ((this.#tokens - 1) * 1000) / after : 0,
      totalSeconds: (performance.now() - this.#start) / 1000,
      bytesRead: this.#engine.stats.bytesRead - this.#bytesBefore,
      seed,
    };
  }
}
