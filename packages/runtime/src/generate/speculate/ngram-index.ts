/** Where the tokens a text ends in occurred before. */
export interface Occurrence {
  /** How many of the last tokens are the same there, from 1 to the index's longest. */
  readonly matched: number;
  /** Position of the token that followed. */
  readonly next: number;
}

/** Above every token id and count of n-grams, so that a pair of them is one exact number. */
const BASE = 2 ** 26;

/**
 * All runs of up to `longest` tokens of a text, each with its last two places. A run of n tokens is known by a run of
 * n - 1 and the token behind it, so that a token costs `longest` map entries, whatever the text's length.
 */
export class NgramIndex {
  readonly #longest: number;
  /** (run, next token) to run; run 0 is the empty one. */
  readonly #runs = new Map<number, number>();
  /** By run: the last place it ended at, and the one before. -1: none. */
  readonly #last: number[] = [-1];
  readonly #before: number[] = [-1];
  /** Runs the text ends in, by their length. */
  #ending: number[] = [0];
  #length = 0;

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** Tokens of the text so far. */
  get length(): number {
    return this.#length;
  }

  push(id: number): void {
    const ending = [0];
    for (let n = 1; n <= this.#longest && n <= this.#length + 1; n++) {
      const run = this.#run(this.#ending[n - 1]!, id);
      this.#before[run] = this.#last[run]!;
      this.#last[run] = this.#length;
      ending.push(run);
    }
    this.#ending = ending;
    this.#length++;
  }

  /** The last earlier place of the longest run the text ends in. */
  find(): Occurrence | undefined {
    for (let matched = this.#ending.length - 1; matched > 0; matched--) {
      const end = this.#before[this.#ending[matched]!]!;
      if (end >= 0) return { matched, next: end + 1 };
    }
    return undefined;
  }

  #run(prefix: number, id: number): number {
    const key = prefix * BASE + id;
    const known = this.#runs.get(key);
    if (known !== undefined) return known;
    const run = this.#last.length;
    this.#runs.set(key, run);
    this.#last.push(-1);
    this.#before.push(-1);
    return run;
  }
}
