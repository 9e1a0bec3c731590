import type { TokenizerCheck } from './format';

const SHOWN = 3;

/** Compares cases one by one and sums up. */
export class Tally {
  private cases = 0;
  private readonly failures: string[] = [];

  constructor(private readonly name: string) {}

  equal(label: string, found: unknown, expected: unknown): void {
    this.cases++;
    const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
    if (a !== b) this.failures.push(`${label}: ${firstDifference(String(a), String(b))}`);
  }

  /** Runs a case that may throw; what it throws is a failure of this case. */
  case(label: string, run: () => unknown, expected: unknown): void {
    let found: unknown;
    try {
      found = run();
    } catch (error) {
      this.cases++;
      this.failures.push(`${label}: ${String(error)}`);
      return;
    }
    this.equal(label, found, expected);
  }

  result(): TokenizerCheck {
    const { name, cases, failures } = this;
    if (failures.length === 0) return { name, passed: cases > 0, detail: cases > 0 ? `${cases} cases` : 'no cases' };
    const more = failures.length > SHOWN ? `\n  … and ${failures.length - SHOWN} more` : '';
    const shown = failures.slice(0, SHOWN).map((failure) => `\n  ${failure}`);
    return { name, passed: false, detail: `${failures.length} of ${cases} cases differ${shown.join('')}${more}` };
  }
}

function firstDifference(found: string, expected: string): string {
  let at = 0;
  while (at < found.length && found[at] === expected[at]) at++;
  const from = Math.max(0, at - 30);
  const part = (text: string) =>
    `${from > 0 ? '…' : ''}${text.slice(from, at + 50)}${text.length > at + 50 ? '…' : ''}`;
  return `at ${at} found ${part(found)} expected ${part(expected)}`;
}
