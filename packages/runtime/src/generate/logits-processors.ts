import type { LogitsProcessor } from './sampling';

/** Rules tokens out (transformers' `SuppressTokensLogitsProcessor`). */
export function banTokens(banned: readonly number[]): LogitsProcessor {
  return (_, scores) => {
    for (const id of banned) scores[id] = Number.NEGATIVE_INFINITY;
  };
}

/**
 * Rules out the last token of each sequence wherever the tokens before it have just been said, or stand at the end of
 * the prompt (transformers' `NoBadWordsLogitsProcessor`).
 */
export function banSequences(sequences: readonly (readonly number[])[]): LogitsProcessor {
  return (ids, scores) => {
    for (const sequence of sequences) {
      const before = sequence.length - 1;
      const from = ids.length - before;
      if (from < 0) continue;
      let follows = true;
      for (let i = 0; i < before && follows; i++) follows = ids[from + i] === sequence[i];
      if (follows) scores[sequence[before]!] = Number.NEGATIVE_INFINITY;
    }
  };
}

/** Taken from the logits of tokens that were generated: for each time, and once. */
export interface OutputPenalties {
  readonly frequency: number;
  readonly presence: number;
}

/** Makes what was generated less likely (OpenAI's `frequency_penalty` and `presence_penalty`); the prompt does not count. */
export function penaliseOutput({ frequency, presence }: OutputPenalties, promptLength: number): LogitsProcessor {
  return (ids, scores) => {
    const counts = new Map<number, number>();
    for (let i = promptLength; i < ids.length; i++) counts.set(ids[i]!, (counts.get(ids[i]!) ?? 0) + 1);
    for (const [id, count] of counts) scores[id]! -= presence + count * frequency;
  };
}
