import { type Sampling, sample } from '../sampling';
import type { DraftLength } from './draft-length';
import type { Choose, Draft, Drafter, DrafterName, DraftSession } from './drafter';
import type { LookaheadRandom } from './lookahead-random';

/** What a model speculates with, for all its texts. */
export interface Speculator {
  readonly drafter: Drafter;
  readonly length: Pick<DraftLength, 'next' | 'recordRight' | 'recordCost' | 'passSeconds'>;
}

/** What speculation did for one text. */
export interface SpeculationStats {
  readonly drafter: DrafterName;
  /** Tokens that were guessed and verified, and those of them that were right. */
  readonly drafted: number;
  readonly accepted: number;
  /** `accepted / drafted`; 0 where nothing was drafted. */
  readonly acceptance: number;
  /**
   * Seconds that passes without drafts would have taken more, by what such passes took lately; below 0 where they cost
   * more. Of passes that several texts shared, each has its share.
   */
  readonly savedSeconds: number;
}

/** Speculation for a text of at most `maxLength` tokens. */
export function speculate(speculator: Speculator, maxLength: number, sampling: Sampling): Speculation {
  return new Speculation({ ...speculator, session: speculator.drafter.open(maxLength), sampling });
}

export interface SpeculationOptions extends Speculator {
  readonly session: DraftSession;
  readonly sampling: Sampling;
}

export interface DraftOptions {
  /** Most tokens the coming pass can verify. */
  readonly room: number;
  /** Its rows without them. */
  readonly rows: number;
  /** What the text's tokens are drawn with. */
  readonly random: LookaheadRandom;
}

/** Further ones are hardly ever right, and a device's passes are not made for them. */
const MOST_DRAFTED = 32;

/** A guess that has yet to be compared with how the text goes on. */
interface Pending {
  readonly from: number;
  readonly draft: Draft;
}

/**
 * Speculation for one text: drafts what may come, as far as that pays, and learns from what came. Whoever verifies
 * chooses every token as without drafts, by its own number of the random source, and uses the logits of the row behind
 * it if the draft had guessed it. So nothing depends on what was drafted but the time: greedy and sampled texts are the
 * same to the byte.
 */
export class Speculation {
  readonly #options: SpeculationOptions;
  #pending: Pending | undefined;
  #rows = 1;
  /** When drafting began. */
  #start = 0;
  #counts = { drafted: 0, accepted: 0, saved: 0 };

  constructor(options: SpeculationOptions) {
    this.#options = options;
  }

  /** Tokens to verify behind `ids` in the coming pass. */
  async draft(ids: readonly number[], options: DraftOptions): Promise<readonly number[]> {
    const { session, drafter, length } = this.#options;
    const { rows, random } = options;
    const room = Math.min(options.room, MOST_DRAFTED);
    this.#settle(ids);
    this.#start = performance.now();
    this.#rows = rows;
    // What takes time is asked for no more than is wanted; the rest for all, since knowing what would have been right is
    // worth something too.
    const most = drafter.costly ? length.next({ trust: 0, room, rows }) : room;
    if (most < 1) return [];
    const draft = await session.draft({ ids, most, choose: this.#chooser(ids, random) });
    if (draft.ids.length === 0) return [];
    if (draft.secondsPerToken !== undefined) length.recordCost(draft.secondsPerToken);
    this.#pending ??= { from: ids.length, draft };
    if (drafter.costly) return draft.ids;
    return draft.ids.slice(0, length.next({ trust: draft.trust, room: draft.ids.length, rows }));
  }

  /** Of the tokens that `draft` returned last, and that were verified, so many were right. */
  verified(drafted: number, right: number): void {
    if (drafted === 0) return;
    const plain = this.#options.length.passSeconds(this.#rows) ?? 0;
    this.#counts.drafted += drafted;
    this.#counts.accepted += right;
    this.#counts.saved += ((right + 1) * plain - (performance.now() - this.#start) / 1000) / this.#rows;
  }

  get stats(): SpeculationStats {
    const { drafted, accepted, saved } = this.#counts;
    return {
      drafter: this.#options.drafter.name,
      drafted,
      accepted,
      acceptance: drafted === 0 ? 0 : accepted / drafted,
      savedSeconds: saved,
    };
  }

  /** The text has ended: nothing is drafted any more. Idempotent. */
  stop(): void {
    this.#options.session.dispose();
  }

  /** Chooses drafted tokens by the numbers that the text's own will be drawn with. */
  #chooser(ids: readonly number[], random: LookaheadRandom): Choose {
    const { sampling } = this.#options;
    return (logits, text) => sample(logits, text, sampling, { next: () => random.peek(text.length - ids.length) });
  }

  /** Compares a guess with how the text went on. */
  #settle(ids: readonly number[]): void {
    if (this.#pending === undefined) return;
    const { from, draft } = this.#pending;
    const wrong = draft.ids.findIndex((id, i) => from + i < ids.length && id !== ids[from + i]);
    if (wrong < 0 && ids.length < from + draft.ids.length) return;
    this.#options.length.recordRight(draft.trust, draft.ids.length, wrong < 0 ? draft.ids.length : wrong);
    this.#pending = undefined;
  }
}
