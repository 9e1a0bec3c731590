/** One pass, as it was. */
export interface PassTime {
  readonly rows: number;
  readonly seconds: number;
  /** Of these, spent waiting for weights. */
  readonly waitSeconds: number;
}

/** Latest passes of a number of rows that count: texts grow. */
const REMEMBERED = 5;
/** Where waiting takes more of a pass than this, the drive sets its time. */
const WAITING_SHARE = 0.1;
/** Further rows cost this share of the first until it is known better: little, so that somebody tries. */
const ASSUMED_ROW_SHARE = 0.02;

/**
 * What passes of so many rows take, from those that were run: the drive's time or the processor's, whichever is longer.
 * Rows are nearly free where the drive sets the time, and cost what they cost where it does not.
 */
export class PassTimes {
  /** Seconds of computing by number of rows, the latest last. */
  readonly #computing = new Map<number, number[]>();
  /** Counts of rows that were timed, ascending. */
  #known: number[] = [];
  /** Seconds of the latest passes that waited; 0 for those that did not. */
  readonly #waiting: number[] = [];

  add({ rows, seconds, waitSeconds }: PassTime): void {
    const times = this.#computing.get(rows) ?? [];
    remember(times, seconds - waitSeconds);
    if (!this.#computing.has(rows)) this.#known = [...this.#known, rows].sort((a, b) => a - b);
    this.#computing.set(rows, times);
    remember(this.#waiting, waitSeconds > WAITING_SHARE * seconds ? seconds : 0);
  }

  /** Whether a pass of so many rows was timed. */
  has(rows: number): boolean {
    return this.#computing.has(rows);
  }

  /** Whether the drive sets the time. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0 && median(this.#waiting) > 0;
  }

  /** Seconds that a pass of so many rows is expected to take. Undefined before the first pass. */
  seconds(rows: number): number | undefined {
    const known = this.#known;
    if (known.length === 0) return undefined;
    return Math.max(median(this.#waiting), this.#computeSeconds(rows, known));
  }

  #computeSeconds(rows: number, known: readonly number[]): number {
    const at = (count: number) => undisturbed(this.#computing.get(count)!);
    const first = known[0]!;
    const last = known.at(-1)!;
    if (rows <= first) return at(first);
    const above = known.find((count) => count >= rows);
    if (above === undefined) {
      const slope = first === last ? ASSUMED_ROW_SHARE * at(first) : (at(last) - at(first)) / (last - first);
      return at(last) + Math.max(0, slope) * (rows - last);
    }
    const below = known.findLast((count) => count <= rows)!;
    if (below === above) return at(rows);
    return at(below) + ((at(above) - at(below)) * (rows - below)) / (above - below);
  }
}

function remember(times: number[], time: number): void {
  times.push(time);
  if (times.length > REMEMBERED) times.shift();
}

/** The lower quartile: a machine has other things to do, which only ever makes passes longer. */
function undisturbed(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 4)]!;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
