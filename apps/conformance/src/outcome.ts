/** What checking one folder showed. */
export interface Outcome {
  readonly name: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** The facts: largest error, tokens, or why it failed. */
  readonly facts: readonly string[];
  readonly seconds: number;
}

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const marks = { passed: 'ok  ', failed: 'FAIL', skipped: 'skip' };

/** `ok   llama        logits 3.1e-6, 24 tokens equal, 0.12 s` */
export function outcomeLine(outcome: Outcome, nameWidth: number): string {
  const facts = [...outcome.facts, `${outcome.seconds.toFixed(2)} s`].join(', ');
  return `${marks[outcome.status]} ${outcome.name.padEnd(nameWidth)}  ${facts}`;
}

/** The last line of a run. */
export function totalsLine(totals: Totals): string {
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  return `${totals.passed} passed, ${totals.failed} failed${skipped}`;
}

export function sum(outcomes: readonly Outcome[]): Totals {
  const count = (status: Outcome['status']) => outcomes.filter((outcome) => outcome.status === status).length;
  return { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
}
