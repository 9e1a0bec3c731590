import type { PullProgress } from './types';

const INTERVAL_MS = 100;
/** The rate is of the last seconds: a network that slows down should show. */
const WINDOW_MS = 5_000;
/** What comes before says little of what follows. */
const SETTLED_MS = 1_000;

interface Counted {
  readonly file: string;
  readonly fileBytesDone: number;
  readonly fileBytesTotal: number;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly bytesAtStart: number;
  readonly filesDone: number;
  readonly filesTotal: number;
}

/** Turns many small arrivals into a few events with a rate. */
export class ProgressMeter {
  #received = 0;
  #samples: { readonly at: number; readonly received: number }[] = [];
  #last = -Infinity;
  #later: NodeJS.Timeout | undefined;

  constructor(
    private readonly about: { readonly repo: string; readonly commit: string },
    private readonly onProgress: ((progress: PullProgress) => void) | undefined,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#samples.push({ at: now(), received: 0 });
  }

  /** Bytes that came over the network, repeated ones included. */
  get received(): number {
    return this.#received;
  }

  add(bytes: number): void {
    this.#received += bytes;
  }

  /** Nothing is told any more of what was not told yet. */
  stop(): void {
    clearTimeout(this.#later);
    this.#later = undefined;
  }

  /** Reports now if it is time, or if told so. */
  report(count: () => Counted, always = false): void {
    if (this.onProgress === undefined) return;
    const now = this.now();
    if (!always && now - this.#last < INTERVAL_MS) {
      // The last news before a pause is told, too.
      this.#later ??= setTimeout(() => this.report(count, true), INTERVAL_MS).unref();
      return;
    }
    this.stop();
    this.#last = now;
    this.#samples.push({ at: now, received: this.#received });
    while (this.#samples.length > 2 && now - (this.#samples[1]?.at as number) > WINDOW_MS) this.#samples.shift();
    const { at, received } = this.#samples[0] as { at: number; received: number };
    const rate = now > at ? ((this.#received - received) / (now - at)) * 1000 : 0;
    const counted = count();
    const left = counted.bytesTotal - counted.bytesDone;
    this.onProgress({
      ...this.about,
      ...counted,
      bytesPerSecond: rate,
      secondsLeft: left === 0 ? 0 : rate > 0 && now - at >= SETTLED_MS ? left / rate : undefined,
    });
  }
}
