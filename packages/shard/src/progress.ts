/** What a split or verification is doing. */
export interface ShardProgress {
  readonly phase: 'split' | 'verify';
  /** Name of a file being worked on; null at the very end. */
  readonly file: string | null;
  /** Of the files written or checked; includes what an earlier run had finished. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Mean of this run; 0 until known. */
  readonly bytesPerSecond: number;
  /** Null until known. */
  readonly etaSeconds: number | null;
}

/** Milliseconds between events at least. */
const INTERVAL = 100;

/** Adds up bytes and tells a listener, not too often. */
export class ProgressMeter {
  readonly #started = performance.now();
  readonly #resumed: number;
  #done: number;
  #told = Number.NEGATIVE_INFINITY;

  constructor(
    readonly phase: ShardProgress['phase'],
    readonly bytesTotal: number,
    readonly listener: ((progress: ShardProgress) => void) | undefined,
    resumed = 0,
  ) {
    this.#resumed = resumed;
    this.#done = resumed;
    this.#tell(null);
  }

  advance(file: string, bytes: number): void {
    this.#done += bytes;
    if (performance.now() - this.#told >= INTERVAL) this.#tell(file);
  }

  finish(): void {
    this.#done = this.bytesTotal;
    this.#tell(null);
  }

  #tell(file: string | null): void {
    if (this.listener === undefined) return;
    this.#told = performance.now();
    const seconds = (this.#told - this.#started) / 1000;
    const bytesPerSecond = seconds > 0 ? (this.#done - this.#resumed) / seconds : 0;
    const left = this.bytesTotal - this.#done;
    const etaSeconds = left === 0 ? 0 : bytesPerSecond > 0 ? left / bytesPerSecond : null;
    const { phase, bytesTotal } = this;
    this.listener({ phase, file, bytesDone: this.#done, bytesTotal, bytesPerSecond, etaSeconds });
  }
}
