/** A comparison: whether it holds, and the fact to print. */
export interface Comparison {
  readonly ok: boolean;
  readonly fact: string;
  /** Could not be made for want of something outside (a tokenizer's package); then `ok` says nothing. */
  readonly skipped?: boolean;
}

/** Largest absolute difference, and where. A NaN on either side counts as infinitely far. */
export function largestError(found: ArrayLike<number>, expected: ArrayLike<number>): { error: number; at: number } {
  let error = 0;
  let at = -1;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(found[i]! - expected[i]!);
    const distance = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    if (distance > error) {
      error = distance;
      at = i;
    }
  }
  return { error, at };
}

/** Compares logits `[rows, vocab]`, row-major. */
export function compareLogits(
  what: string,
  found: Float32Array,
  expected: Float32Array,
  vocab: number,
  tolerance: number,
): Comparison {
  if (found.length !== expected.length) {
    const rows = (values: Float32Array) => `${values.length / vocab} rows of ${vocab}`;
    return { ok: false, fact: `${what} have the wrong size: expected ${rows(expected)}, found ${rows(found)}` };
  }
  const { error, at } = largestError(found, expected);
  if (error <= tolerance) return { ok: true, fact: `${what} ${scientific(error)}` };
  const where = `row ${Math.floor(at / vocab)}, token ${at % vocab}`;
  return { ok: false, fact: `${what} ${scientific(error)} > ${scientific(tolerance)} at ${where}` };
}

/** Index of the first id that differs, or -1; lists of different length differ at the end of the shorter. */
export function firstDifference(found: readonly number[], expected: readonly number[]): number {
  const length = Math.max(found.length, expected.length);
  for (let i = 0; i < length; i++) if (found[i] !== expected[i]) return i;
  return -1;
}

/** Compares generated ids and names the first that differs. */
export function compareTokens(found: readonly number[], expected: readonly number[]): Comparison {
  const at = firstDifference(found, expected);
  if (at === -1) return { ok: true, fact: `${expected.length} tokens equal` };
  const show = (id: number | undefined) => (id === undefined ? 'the end' : String(id));
  const fact = `token ${at} of ${expected.length} differs: expected ${show(expected[at])}, found ${show(found[at])}`;
  return { ok: false, fact };
}

/** Compares text and shows both from shortly before the first difference. */
export function compareText(what: string, found: string, expected: string): Comparison {
  if (found === expected) return { ok: true, fact: `${what} equal` };
  let at = 0;
  while (found[at] === expected[at]) at++;
  const show = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 10), at + 20));
  return { ok: false, fact: `${what} differs at character ${at}: expected ${show(expected)}, found ${show(found)}` };
}

export function scientific(value: number): string {
  return value === 0 ? '0' : value.toExponential(1);
}
