/** What one pass took. */
export interface MeasuredPass {
  readonly rows: number;
  readonly seconds: number;
  /** Of these, spent waiting for weights. */
  readonly waitSeconds: number;
  /** Time in kernels, most of it while weights were read. */
  readonly computeSeconds: number;
}

/** Weight of the newest pass in the averages: a machine's speed drifts, and single passes are disturbed. */
const NEWEST = 0.3;
/** Share of a pass that must have been spent waiting for its time to be the drive's. */
const BOUND_BY_DRIVE = 0.05;

/**
 * What passes cost on this machine, as measured while they ran: arithmetic by the number of rows, and the time the drive
 * takes whatever the rows. A pass takes the longer of both.
 */
export class PassCosts {
  /** By the power of two below the rows: mean rows, and mean seconds of arithmetic. */
  readonly #compute = new Map<number, { rows: number; seconds: number }>();
  #drive: number | undefined;

  /** Seconds until a pass's weights are read; undefined while no pass had to wait for them. */
  get driveSeconds(): number | undefined {
    return this.#drive;
  }

  record({ rows, seconds, waitSeconds, computeSeconds }: MeasuredPass): void {
    const key = Math.floor(Math.log2(rows));
    const known = this.#compute.get(key);
    this.#compute.set(key, {
      rows: mean(known?.rows, rows),
      seconds: mean(known?.seconds, computeSeconds),
    });
    if (waitSeconds > BOUND_BY_DRIVE * seconds) this.#drive = mean(this.#drive, seconds);
    // It was there in time: the drive takes no longer than that.
    else if (this.#drive !== undefined) this.#drive = Math.min(this.#drive, seconds);
  }

  /** Seconds of arithmetic in a pass of so many rows, between and beyond what was measured; undefined before any pass. */
  computeSeconds(rows: number): number | undefined {
    const known = [...this.#compute.values()].sort((a, b) => a.rows - b.rows);
    const after = known.findIndex((point) => point.rows >= rows);
    // Fewer rows go through the same weights.
    if (after === 0) return known[0]!.seconds;
    if (after > 0) return between(known[after - 1]!, known[after]!, rows);
    const last = known.at(-1);
    if (last === undefined) return undefined;
    const before = known.at(-2);
    // One number alone cannot tell what comes with rows and what with weights: at worst all comes with rows.
    if (before === undefined) return (last.seconds * rows) / last.rows;
    return Math.max(last.seconds, between(before, last, rows));
  }

  /** Seconds a pass of so many rows will take; undefined before any pass. */
  seconds(rows: number): number | undefined {
    const compute = this.computeSeconds(rows);
    return compute === undefined ? undefined : Math.max(compute, this.#drive ?? 0);
  }

  /**
   * Most rows, up to `most`, that cost no more than the time the drive takes anyway; undefined where the drive was not
   * seen to limit anything.
   */
  freeRows(most: number): number | undefined {
    const drive = this.#drive;
    if (drive === undefined) return undefined;
    let least = 1;
    let beyond = most + 1;
    while (beyond - least > 1) {
      const middle = Math.floor((least + beyond) / 2);
      if (this.computeSeconds(middle)! <= drive) least = middle;
      else beyond = middle;
    }
    return least;
  }
}

function mean(known: number | undefined, value: number): number {
  return known === undefined ? value : known + NEWEST * (value - known);
}

interface Point {
  readonly rows: number;
  readonly seconds: number;
}

/** The line through two points, which may lie outside of them. */
function between(a: Point, b: Point, rows: number): number {
  return a.seconds + ((b.seconds - a.seconds) * (rows - a.rows)) / (b.rows - a.rows);
}
