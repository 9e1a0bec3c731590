/** What older trials count when a newer one comes. */
const DECAY = 0.98;
/** Trials the first guess counts as. */
const PRIOR_TRIALS = 4;

/** How probable it is that a guessed token is right, its predecessors being so; per kind of guess, lately. */
export class Acceptance {
  readonly #prior: (trust: number) => number;
  readonly #kinds = new Map<number, { right: number; trials: number }>();

  /** @param prior - Before anything was seen, by kind of guess. */
  constructor(prior: (trust: number) => number) {
    this.#prior = prior;
  }

  of(trust: number): number {
    const { right, trials } = this.#kind(trust);
    return right / trials;
  }

  /** Of `drafted` tokens the first `right` ones were as guessed. Those behind the first wrong one tell nothing. */
  record(trust: number, drafted: number, right: number): void {
    const kind = this.#kind(trust);
    const trials = Math.min(drafted, right + 1);
    for (let i = 0; i < trials; i++) {
      kind.right = kind.right * DECAY + (i < right ? 1 : 0);
      kind.trials = kind.trials * DECAY + 1;
    }
  }

  #kind(trust: number): { right: number; trials: number } {
    let kind = this.#kinds.get(trust);
    if (kind === undefined) {
      kind = { right: this.#prior(trust) * PRIOR_TRIALS, trials: PRIOR_TRIALS };
      this.#kinds.set(trust, kind);
    }
    return kind;
  }
}
