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
 * Rows are nearly free where the drive sets the time, unless they choose experts that are read for them, and cost what they
 * cost where it does not.
 */
export class PassTimes {
  readonly #computing = new TimesByRows(ASSUMED_ROW_SHARE);
  readonly #whole = new TimesByRows(0);
  /** Whether the latest passes waited for the drive. */
  readonly #waited: number[] = [];

  add({ rows, seconds, waitSeconds }: PassTime): void {
    this.#computing.add(rows, seconds - waitSeconds);
    this.#whole.add(rows, seconds);
    remember(this.#waited, waitSeconds > WAITING_SHARE * seconds ? 1 : 0);
  }

  /** Whether a pass of so many rows was timed. */
  has(rows: number): boolean {
    return this.#whole.has(rows);
  }

  /** Whether the drive sets the time. */
  get isWaiting(): boolean {
    return 2 * this.#waited.reduce((sum, waited) => sum + waited, 0) > this.#waited.length;
  }

  /** Seconds that a pass of so many rows is expected to take. Undefined before the first pass. */
  seconds(rows: number): number | undefined {
    const computing = this.#computing.at(rows);
    if (computing === undefined || !this.isWaiting) return computing;
    return Math.max(computing, this.#whole.at(rows)!);
  }
}

/** Latest times by number of rows, and what follows from them for other numbers. */
class TimesByRows {
  readonly #assumedShare: number;
  readonly #times = new Map<number, number[]>();
  /** Counts of rows that were timed, ascending. */
  #known: number[] = [];

  /** @param assumedShare - Of the only time known, what a further row takes. */
  constructor(assumedShare: number) {
    this.#assumedShare = assumedShare;
  }

  has(rows: number): boolean {
    return this.#times.has(rows);
  }

  add(rows: number, seconds: number): void {
    if (!this.has(rows)) {
      this.#times.set(rows, []);
      this.#known = [...this.#known, rows].sort((a, b) => a - b);
    }
    remember(this.#times.get(rows)!, seconds);
  }

  /** Between numbers that were timed evenly, beyond them as from the first to the last; undefined before the first. */
  at(rows: number): number | undefined {
    const [first] = this.#known;
    const last = this.#known.at(-1);
    if (first === undefined || last === undefined) return undefined;
    if (rows <= first) return this.#timed(first);
    const above = this.#known.find((count) => count >= rows);
    if (above === undefined) return this.#timed(last) + this.#slope(first, last) * (rows - last);
    const below = this.#known.findLast((count) => count <= rows)!;
    if (below === above) return this.#timed(rows);
    return this.#timed(below) + ((this.#timed(above) - this.#timed(below)) * (rows - below)) / (above - below);
  }

  #slope(first: number, last: number): number {
    if (first === last) return this.#assumedShare * this.#timed(first);
    return Math.max(0, (this.#timed(last) - this.#timed(first)) / (last - first));
  }

  /** The lower quartile: a machine has other things to do, which only ever makes passes longer. */
  #timed(rows: number): number {
    const times = this.#times.get(rows)!;
    return [...times].sort((a, b) => a - b)[Math.floor(times.length / 4)]!;
  }
}

function remember(times: number[], time: number): void {
  times.push(time);
  if (times.length > REMEMBERED) times.shift();
}
