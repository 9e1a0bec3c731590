/** What one pass took. */
export interface MeasuredPass {
  readonly rows: number;
  /** Those of them whose logits were wanted. @defaultValue all */
  readonly logitRows?: number;
  readonly seconds: number;
  /** Of these, spent waiting for weights and states. */
  readonly waitSeconds: number;
  /** Time in kernels, much of it while weights were read. */
  readonly computeSeconds: number;
  /** Weights and states that were read. */
  readonly bytesRead: number;
}

/** What may be assumed of rows as long as passes of one width alone were run: that they cost next to nothing, or all. */
export type UnknownRows = 'cheap' | 'dear';

/** Latest passes of a width that count: texts grow, and a machine's speed drifts. */
const REMEMBERED = 5;
/** Up to so many rows each number of them is a width of its own; above, so many to the double. */
const EXACT_ROWS = 16;
const WIDTHS_PER_DOUBLE = 4;
/** Share of a pass that must have been spent waiting for its time to be the drive's. */
const BOUND_BY_DRIVE = 0.05;
/** What a further row takes of a pass, if rows are cheap: little, so that somebody tries. */
const CHEAP_ROW = 0.02;

/**
 * What passes cost on this machine, as measured while they ran. A pass takes the longer of two: its arithmetic, by its
 * rows, and the reading of what it needs at the drive's rate. Rows without logits spare the head's share of arithmetic.
 */
export class PassCosts {
  readonly #headShare: number;
  /** A machine has other things to do, which only ever makes passes longer. */
  readonly #compute = new ByWidth({ quantile: 1 / 4, rises: true });
  readonly #bytes = new ByWidth({ quantile: 1 / 2, rises: false });
  /** Bytes per second of passes that waited for the drive. */
  readonly #rates: number[] = [];

  /** @param headShare - Of a row's arithmetic, what its logits take. */
  constructor(headShare = 0) {
    this.#headShare = headShare;
  }

  record({ rows, logitRows = rows, seconds, waitSeconds, computeSeconds, bytesRead }: MeasuredPass): void {
    const waited = waitSeconds > BOUND_BY_DRIVE * seconds;
    // Kernels may run while others are waited for.
    const arithmetic = waited ? Math.max(computeSeconds, seconds - waitSeconds) : seconds;
    this.#compute.add(this.#width(rows, logitRows), arithmetic);
    this.#bytes.add(rows, bytesRead);
    const rate = bytesRead / seconds;
    if (waited && bytesRead > 0) remember(this.#rates, rate);
    // It was there in time: the drive reads at least as quickly as that.
    else if (rate > (this.#rate ?? Number.POSITIVE_INFINITY)) remember(this.#rates, rate);
  }

  /** Seconds until what a pass of so many rows needs is read; undefined while no pass had to wait for it. */
  driveSeconds(rows: number): number | undefined {
    const rate = this.#rate;
    return rate === undefined ? undefined : this.#bytes.at(rows, 0)! / rate;
  }

  /** Seconds of arithmetic in a pass of so many rows, between and beyond what was measured; undefined before any pass. */
  computeSeconds(rows: number, { logitRows = rows, unknown = 'cheap' }: RowOptions = {}): number | undefined {
    return this.#compute.at(this.#width(rows, logitRows), unknown === 'cheap' ? CHEAP_ROW : Number.POSITIVE_INFINITY);
  }

  /** Seconds a pass of so many rows will take; undefined before any pass. */
  seconds(rows: number, options: RowOptions = {}): number | undefined {
    const compute = this.computeSeconds(rows, options);
    return compute === undefined ? undefined : Math.max(compute, this.driveSeconds(rows) ?? 0);
  }

  /** Whether it is known what a pass of so many rows takes: one was run, or the drive sets its time. */
  knows(rows: number): boolean {
    if (this.#compute.has(rows)) return true;
    const drive = this.driveSeconds(rows);
    return drive !== undefined && drive > this.computeSeconds(rows)!;
  }

  /**
   * Most rows, up to `most`, that cost no more than the time the drive takes anyway; undefined where the drive was not
   * seen to limit anything.
   */
  freeRows(most: number): number | undefined {
    if (this.#rate === undefined) return undefined;
    return largest(most, (rows) => this.computeSeconds(rows, { unknown: 'dear' })! <= this.driveSeconds(rows)!);
  }

  /**
   * Most rows without logits, up to `most`, beside `rows` with them, so that the pass takes `times` as long at most. None
   * while only wider passes are known: what these rows take alone is then to be learned first.
   */
  rowsBeside(rows: number, times: number, most: number): number {
    const alone = this.seconds(rows);
    if (alone === undefined) return most;
    if (rows < this.#compute.least! && !this.knows(rows)) return 0;
    const beside = (count: number) => this.seconds(rows + count, { logitRows: rows, unknown: 'dear' })!;
    return largest(most, (count) => beside(count) <= times * alone);
  }

  get #rate(): number | undefined {
    return upperQuartile(this.#rates);
  }

  /** Rows with logits that a pass's arithmetic comes to. */
  #width(rows: number, logitRows: number): number {
    return rows - this.#headShare * (rows - logitRows);
  }
}

export interface RowOptions {
  /** Rows whose logits are wanted. @defaultValue all */
  readonly logitRows?: number;
  /** @defaultValue 'cheap' */
  readonly unknown?: UnknownRows;
}

interface Point {
  readonly rows: number;
  readonly value: number;
  /** The higher, the later it was measured. */
  readonly time: number;
}

interface ByWidthOptions {
  /** Which of a width's latest values counts, by what a row takes. */
  readonly quantile: number;
  /** More rows never take less. */
  readonly rises: boolean;
}

/** Latest values by a pass's rows, and what follows from them for other numbers. */
class ByWidth {
  readonly #options: ByWidthOptions;
  readonly #points = new Map<number, Point[]>();
  #time = 0;
  /** One of each width, ascending. */
  #line: readonly Point[] = [];

  constructor(options: ByWidthOptions) {
    this.#options = options;
  }

  /** The fewest rows that were measured. */
  get least(): number | undefined {
    return this.#line[0]?.rows;
  }

  has(rows: number): boolean {
    return this.#points.has(widthOf(rows));
  }

  add(rows: number, value: number): void {
    const width = widthOf(rows);
    const points = this.#points.get(width) ?? [];
    this.#points.set(width, points);
    remember(points, { rows, value, time: this.#time++ });
    const typical = [...this.#points.values()].map((latest) => this.#typical(latest)).sort((a, b) => a.rows - b.rows);
    this.#line = this.#options.rises ? typical.map((point) => atMostWider(point, typical)) : typical;
  }

  /**
   * Between measured widths evenly, below them the least, and beyond them as before; from one width alone a further row
   * takes `share` of it, but no more than as if all came with rows. Undefined without any.
   */
  at(rows: number, share: number): number | undefined {
    const line = this.#line;
    const after = line.findIndex((point) => point.rows >= rows);
    // Fewer rows go through the same weights.
    if (after === 0) return line[0]!.value;
    if (after > 0) return between(line[after - 1]!, line[after]!, rows);
    const last = line.at(-1);
    if (last === undefined) return undefined;
    const { value } = last;
    // Widths that are near to each other tell how disturbed they were rather than what rows cost.
    const before = line.findLast((point) => point.rows <= last.rows / 2) ?? line[0]!;
    if (before !== last) return Math.max(value, between(before, last, rows));
    return value + (rows - last.rows) * Math.min(share * value, value / last.rows);
  }

  #typical(points: readonly Point[]): Point {
    const sorted = [...points].sort((a, b) => a.value / a.rows - b.value / b.rows);
    return { ...sorted[Math.floor(sorted.length * this.#options.quantile)]!, time: points.at(-1)!.time };
  }
}

/** What wider passes were since seen to take less than: so a model's first passes, while its weights come, are forgotten. */
function atMostWider(point: Point, all: readonly Point[]): Point {
  const since = all.filter(({ rows, time }) => rows > point.rows && time > point.time);
  return { ...point, value: since.reduce((least, { value }) => Math.min(least, value), point.value) };
}

function widthOf(rows: number): number {
  if (rows <= EXACT_ROWS) return Math.round(rows);
  return EXACT_ROWS + Math.ceil(WIDTHS_PER_DOUBLE * Math.log2(rows / EXACT_ROWS));
}

/** Of rates, which others only ever lower. */
function upperQuartile(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => b - a)[Math.floor(values.length / 4)];
}

/** The line through two points, which may lie outside of them. */
function between(a: Point, b: Point, rows: number): number {
  return a.value + ((b.value - a.value) * (rows - a.rows)) / (b.rows - a.rows);
}

/** The largest number from 1 to `most` for which all up to it are good; 1 where none is. */
function largest(most: number, isGood: (count: number) => boolean): number {
  let least = 1;
  let beyond = most + 1;
  while (beyond - least > 1) {
    const middle = Math.floor((least + beyond) / 2);
    if (isGood(middle)) least = middle;
    else beyond = middle;
  }
  return least;
}

function remember<T>(values: T[], value: T): void {
  values.push(value);
  if (values.length > REMEMBERED) values.shift();
}
