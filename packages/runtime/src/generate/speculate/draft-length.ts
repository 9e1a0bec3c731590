import type { PassCosts } from '../pass-costs';
import { Acceptance } from './acceptance';
import { bestLength } from './best-length';
import type { Drafter } from './drafter';

export interface LengthRequest {
  readonly trust: number;
  /** Most tokens that could be drafted. */
  readonly room: number;
  /** Rows of the pass beside the drafted ones: one of each text, and all texts are taken to draft alike. */
  readonly rows: number;
}

/** Passes without a draft until one is tried all the same: so many, then twice as many each time, but not more than… */
const FIRST_PAUSE = 8;
const LONGEST_PAUSE = 256;
/** Tokens of such a try: cheap, and yet they tell. */
const TRY_LENGTH = 3;
/** Share of a pass that a row costs where a try is worth its while: what was measured may have been disturbed. */
const HOPED_ROW_SHARE = 0.1;
/**
 * Passes with drafts until one goes without, to learn anew what that takes: so many, then twice as many each time, but not
 * more than…
 */
const FIRST_PLAIN = 4;
const PLAIN_EVERY = 64;
/** Times of drafting whose median counts. */
const REMEMBERED = 5;

/**
 * How many tokens to draft, from what passes take, what drafting takes, and how often drafts are right; nothing where it
 * does not pay. Learns over all texts of an engine.
 */
export class DraftLength {
  readonly #costs: PassCosts;
  readonly #costly: boolean;
  readonly #assumedSeconds: number;
  readonly #acceptance: Acceptance;
  readonly #draftSeconds: number[] = [];
  #pause = FIRST_PAUSE;
  #without = 0;
  #with = 0;
  #plainAfter = FIRST_PLAIN;

  constructor(costs: PassCosts, drafter: Pick<Drafter, 'name' | 'costly' | 'assumedSeconds'>) {
    this.#costs = costs;
    this.#costly = drafter.costly;
    this.#assumedSeconds = drafter.assumedSeconds;
    this.#acceptance = new Acceptance(drafter.name === 'lookup' ? trustInMatch : () => FIRST_ACCEPTANCE);
  }

  /** Seconds a pass of so many rows is expected to take, if there was any. */
  passSeconds(rows: number): number | undefined {
    return this.#costs.seconds(rows);
  }

  next({ trust, room, rows }: LengthRequest): number {
    if (room < 1) return 0;
    // What a pass takes without a draft is what drafts are measured by.
    if (!this.#costs.knows(rows)) return 0;
    if (this.#with >= this.#plainAfter) {
      this.#with = 0;
      this.#plainAfter = Math.min(PLAIN_EVERY, 2 * this.#plainAfter);
      return 0;
    }
    const best = (passSeconds: (drafted: number) => number) =>
      bestLength({
        most: room,
        acceptance: this.#acceptance.of(trust),
        passSeconds,
        draftSeconds: rows * (median(this.#draftSeconds) ?? this.#assumedSeconds),
      });
    const measured = best((drafted) => this.#costs.seconds(rows * (1 + drafted))!);
    if (measured > 0) return this.#go(measured);
    // How good a costly drafter is shows only when it is asked.
    const plain = this.#costs.seconds(rows)!;
    const worthTrying = this.#costly || best((drafted) => plain * (1 + HOPED_ROW_SHARE * drafted)) > 0;
    return worthTrying ? this.#try(room) : 0;
  }

  /** Of `drafted` tokens the first `right` ones were as guessed. */
  recordRight(trust: number, drafted: number, right: number): void {
    this.#acceptance.record(trust, drafted, right);
  }

  /** What a drafted token took. */
  recordCost(seconds: number): void {
    this.#draftSeconds.push(seconds);
    if (this.#draftSeconds.length > REMEMBERED) this.#draftSeconds.shift();
  }

  #go(length: number): number {
    this.#with++;
    this.#without = 0;
    this.#pause = FIRST_PAUSE;
    return length;
  }

  /** Now and then a short draft. */
  #try(room: number): number {
    if (++this.#without < this.#pause) return 0;
    this.#without = 0;
    this.#pause = Math.min(LONGEST_PAUSE, 2 * this.#pause);
    return Math.min(room, TRY_LENGTH);
  }
}

const FIRST_ACCEPTANCE = 0.7;

/** Of prompt lookup, by how much of the text's end it found again. */
function trustInMatch(trust: number): number {
  return Math.min(0.9, 0.1 + 0.15 * trust);
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
