import type { LogitsProcessor } from '../sampling';
import type { GrammarMatcher } from './xgrammar';

/** A matcher, and what it has accepted. */
interface Follower {
  readonly matcher: GrammarMatcher;
  readonly accepted: number[];
}

export interface ConstraintFacts {
  /** One for each text that is generated at once, or fewer. */
  readonly matchers: readonly GrammarMatcher[];
  /** Tokens of the prompt, which the grammar says nothing about. */
  readonly promptLength: number;
  readonly vocabSize: number;
}

/**
 * Keeps the texts of one request to a grammar. To whoever asks, its processor depends on the ids alone: it takes the
 * matcher that is nearest to them, takes back what they lack and adds what they have.
 */
export class GrammarConstraint {
  readonly #facts: ConstraintFacts;
  readonly #followers: readonly Follower[];

  constructor(facts: ConstraintFacts) {
    this.#facts = facts;
    this.#followers = facts.matchers.map((matcher) => ({ matcher, accepted: [] }));
  }

  /** Rules out every token that the grammar does not allow behind the ids. */
  readonly process: LogitsProcessor = (ids, scores) => {
    const { vocabSize } = this.#facts;
    const mask = this.#at(ids).handle.GetNextTokenBitmask(vocabSize);
    const words = Math.ceil(vocabSize / 32);
    for (let word = 0; word < words; word++) {
      const bits = mask.get(word);
      if (bits === -1) continue;
      const end = Math.min(32 * (word + 1), scores.length);
      for (let id = 32 * word; id < end; id++) {
        if (((bits >>> (id & 31)) & 1) === 0) scores[id] = Number.NEGATIVE_INFINITY;
      }
    }
    mask.delete();
  };

  /** Whether the ids are a whole text of a grammar that ends without an end token. */
  readonly isWhole = (ids: readonly number[]): boolean => this.#at(ids).isTerminated();

  dispose(): void {
    for (const { matcher } of this.#followers) matcher.dispose();
  }

  /** A matcher that has accepted the text of these ids. */
  #at(ids: readonly number[]): GrammarMatcher {
    const { promptLength } = this.#facts;
    const common = this.#followers.map(({ accepted }) => {
      let length = 0;
      while (length < accepted.length && accepted[length] === ids[promptLength + length]) length++;
      return length;
    });
    // What must be taken back is another text's; what must be added is work.
    const cost = (i: number) => 2 * (this.#followers[i]!.accepted.length - common[i]!) - common[i]!;
    let nearest = 0;
    for (let i = 1; i < common.length; i++) if (cost(i) < cost(nearest)) nearest = i;
    const { matcher, accepted } = this.#followers[nearest]!;
    const surplus = accepted.length - common[nearest]!;
    if (surplus > 0) matcher.rollBack(surplus);
    accepted.length -= surplus;
    for (const id of ids.slice(promptLength + accepted.length)) {
      // A draft that leaves the grammar; it is refused before anybody looks at what is behind it.
      if (!matcher.acceptToken(id)) break;
      accepted.push(id);
    }
    return matcher;
  }
}
