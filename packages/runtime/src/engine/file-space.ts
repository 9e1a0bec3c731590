/** A run of bytes of a file, and how many need it. */
export interface FileRange {
  readonly offset: number;
  readonly bytes: number;
  users: number;
}

/** Divides the offsets of a file, which has no end, among users that come and go: the first gap that is wide enough. */
export class FileSpace {
  /** In order of their offsets, apart from each other. */
  #free: { readonly from: number; readonly to: number }[] = [{ from: 0, to: Number.MAX_SAFE_INTEGER }];

  /** Whether nothing is in use. */
  get empty(): boolean {
    return this.#free.length === 1 && this.#free[0]!.from === 0;
  }

  allocate(bytes: number): FileRange {
    const index = this.#free.findIndex(({ from, to }) => to - from >= bytes);
    const { from, to } = this.#free[index]!;
    this.#free.splice(index, 1, ...(from + bytes < to ? [{ from: from + bytes, to }] : []));
    return { offset: from, bytes, users: 1 };
  }

  /** One user less; without any the range is free. */
  release(range: FileRange): void {
    if (--range.users > 0) return;
    let from = range.offset;
    let to = from + range.bytes;
    const apart = this.#free.filter((gap) => {
      if (gap.to !== from && gap.from !== to) return true;
      from = Math.min(from, gap.from);
      to = Math.max(to, gap.to);
      return false;
    });
    this.#free = [...apart, { from, to }].sort((a, b) => a.from - b.from);
  }
}
