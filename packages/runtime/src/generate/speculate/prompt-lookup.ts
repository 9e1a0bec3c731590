import { type Draft, type Drafter, type DraftRequest, type DraftSession, NO_DRAFT } from './drafter';
import { NgramIndex } from './ngram-index';

/** Runs of more tokens are followed where they lead instead of being looked up. */
const LONGEST_RUN = 4;

/**
 * Guesses that a text goes on as it did after the same tokens before (prompt lookup decoding, Saxena 2023,
 * https://github.com/apoorvumang/prompt-lookup-decoding): answers quote, edit and repeat. Takes next to no time.
 */
export class PromptLookup implements Drafter {
  readonly name = 'lookup';
  readonly costly = false;
  readonly assumedSeconds = 0;

  open(): DraftSession {
    return new LookupSession();
  }

  async dispose(): Promise<void> {}
}

class LookupSession implements DraftSession {
  readonly #index = new NgramIndex(LONGEST_RUN);
  /** The place that is being followed: the token expected next, and how many before it were as expected. */
  #source = { next: 0, matched: 0 };

  async draft({ ids, most }: DraftRequest): Promise<Draft> {
    for (let at = this.#index.length; at < ids.length; at++) this.#read(ids, at);
    const { next, matched } = this.#source;
    if (matched === 0) return NO_DRAFT;
    return { ids: copied(ids, next, most), trust: trustIn(matched) };
  }

  dispose(): void {}

  #read(ids: readonly number[], at: number): void {
    const id = ids[at]!;
    const { next, matched } = this.#source;
    this.#index.push(id);
    const found = this.#index.find();
    // A place that has led right for longer than any run in the index is better than the last place of such a run.
    if (matched >= LONGEST_RUN && ids[next] === id) this.#source = { next: next + 1, matched: matched + 1 };
    else this.#source = found ?? { next: 0, matched: 0 };
  }
}

/** `count` tokens from a place on; where that runs into the text's end the copy itself goes on, as repetitions do. */
function copied(ids: readonly number[], from: number, count: number): number[] {
  const copy: number[] = [];
  for (let i = 0; i < count; i++) copy.push(from + i < ids.length ? ids[from + i]! : copy[from + i - ids.length]!);
  return copy;
}

/** 1, 2, 3, 4, 5 to 8, 9 to 16, more. */
function trustIn(matched: number): number {
  return matched <= LONGEST_RUN ? matched : Math.min(7, 2 + Math.ceil(Math.log2(matched)));
}
