/** Bytes `[from, to)` of a file. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** Which bytes of a file there are: ranges in order that neither touch nor overlap. */
export class RangeSet {
  #ranges: ByteRange[] = [];

  constructor(ranges: Iterable<ByteRange> = []) {
    for (const { from, to } of ranges) this.add(from, to);
  }

  get ranges(): readonly ByteRange[] {
    return this.#ranges;
  }

  /** How many bytes. */
  get size(): number {
    return this.#ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  add(from: number, to: number): void {
    if (to <= from) return;
    // Downloads add to the end of one of a few ranges.
    const start = this.#ranges.findIndex((range) => range.to >= from);
    if (start < 0) {
      this.#ranges.push({ from, to });
      return;
    }
    let end = start;
    let merged = { from, to };
    for (let range = this.#ranges[end]; range !== undefined && range.from <= to; range = this.#ranges[++end]) {
      merged = { from: Math.min(merged.from, range.from), to: Math.max(merged.to, range.to) };
    }
    this.#ranges.splice(start, end - start, merged);
  }

  /** Whether all of `[from, to)` is there. */
  has(from: number, to: number): boolean {
    return to <= from || this.#ranges.some((range) => range.from <= from && to <= range.to);
  }

  /** Where the run of bytes that holds `at` ends; `at` itself if it is not there. */
  endOf(at: number): number {
    return this.#ranges.find((range) => range.from <= at && at < range.to)?.to ?? at;
  }

  /** What is missing of the first `size` bytes. */
  gaps(size: number): ByteRange[] {
    const gaps: ByteRange[] = [];
    let at = 0;
    for (const { from, to } of this.#ranges) {
      if (from > at) gaps.push({ from: at, to: Math.min(from, size) });
      at = Math.max(at, to);
    }
    if (at < size) gaps.push({ from: at, to: size });
    return gaps.filter(({ from, to }) => from < to);
  }
}
