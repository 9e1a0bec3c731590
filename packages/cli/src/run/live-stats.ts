import type { Plan, Span } from '@airllm/runtime';
import { significant } from '../output/units';

/** What a run did since it was last asked: rates and shares. */
interface Figures {
  readonly tokensPerSecond: number;
  readonly bytesPerSecond: number;
  readonly waitShare: number;
}

/** Adds up spans of time; times are milliseconds of `performance.now()`. */
export class SpanTally {
  #since: number;
  #bytes = 0;
  #waitMs = 0;
  #rows = 0;
  #lastPassEnd: number | undefined;
  #passMs = 0;
  #tokensPerSecond = 0;
  #working = false;

  constructor(now: number) {
    this.#since = now;
  }

  add({ track, start, end, bytes = 0, rows = 0 }: Span): void {
    switch (track) {
      case 'read':
        this.#bytes += bytes;
        break;
      case 'wait':
        this.#waitMs += end - start;
        break;
      case 'compute':
        this.#working = true;
        break;
      case 'pass':
        this.#rows += rows;
        // Sampling between two passes is part of a token's time, a pause between two answers is not.
        this.#passMs += end - Math.max(this.#lastPassEnd ?? start, start - MOST_BETWEEN_MS);
        this.#lastPassEnd = end;
    }
  }

  /** What happened up to now, or undefined if nothing was computed; counting begins anew. */
  take(now: number): Figures | undefined {
    const ms = Math.max(1, now - this.#since);
    // A pass may take longer than the time between two looks.
    if (this.#passMs > 0) this.#tokensPerSecond = (1000 * this.#rows) / this.#passMs;
    const figures = {
      tokensPerSecond: this.#tokensPerSecond,
      bytesPerSecond: (1000 * this.#bytes) / ms,
      waitShare: Math.min(1, this.#waitMs / ms),
    };
    const worked = this.#working;
    this.#since = now;
    this.#bytes = 0;
    this.#waitMs = 0;
    this.#rows = 0;
    this.#passMs = 0;
    this.#working = false;
    return worked ? figures : undefined;
  }
}

/** Most of the time between passes that counts as a token's. */
const MOST_BETWEEN_MS = 100;

/** One line of figures. */
export function statsLine(figures: Figures, plan: Plan): string {
  const { bytes } = plan;
  const resident = bytes.weights === 0 ? 1 : Math.min(1, (bytes.pinned + bytes.experts) / bytes.weights);
  return [
    `${significant(figures.tokensPerSecond)} tokens/s`,
    `${significant(figures.bytesPerSecond / 1e9)} GB/s`,
    `${Math.round(100 * figures.waitShare)} % waiting for the drive`,
    `${Math.round(100 * resident)} % resident`,
  ].join(' · ');
}
