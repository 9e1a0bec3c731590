import { expect, test } from 'vitest';
import { Sequence } from '../engine';
import { Generation, type TextDrafter } from './generation';
import { type GenerationOptions, resolveGeneration } from './options';
import type { Stopwatch } from './stopwatch';

const PROMPT = [1, 2];
const VOCABULARY = 8;

/** Scores of which this token's is the highest. */
const scores = (id: number) => Float32Array.from({ length: VOCABULARY }, (_, i) => (i === id ? 1 : 0));

function generationOf(drafts: readonly number[], options: GenerationOptions) {
  const sequence = new Sequence([]);
  const drafter: TextDrafter = {
    draft: async () => drafts,
    verified: () => {},
    stop: () => {},
    stats: { drafter: 'lookup', drafted: 0, accepted: 0, acceptance: 0, savedSeconds: 0 },
  };
  const generation = new Generation({
    sequence,
    drafter,
    prompt: PROMPT,
    limit: 10,
    tokenizer: null,
    endTokens: new Set(),
    returnLogits: false,
    resolved: resolveGeneration({ doSample: false, ...options }, {}, { vocabSize: VOCABULARY }),
    watch: { pass: () => {}, token: () => {} } as unknown as Stopwatch,
  });
  return { generation, sequence };
}

test('whoever’s criteria throw, the sequence holds no more than the text', async () => {
  const reason = new Error('no such text');
  const { generation, sequence } = generationOf([5, 6], {
    stoppingCriteria: (ids) => {
      if (ids.length > PROMPT.length) throw reason;
      return false;
    },
  });
  sequence.advance(1);
  await generation.draft({ room: 2, rows: 1 });
  const rows = generation.rows(10);
  expect(rows.map(({ input }) => input)).toEqual([2, 5, 6]);
  sequence.advance(4);
  // The text goes on with another token than was guessed, and that is where the criterion throws.
  expect(() => generation.take([scores(3), scores(6), scores(7)])).toThrow(reason);
  expect(generation.history).toEqual([1, 2, 3]);
  expect(sequence.length).toBe(2);
});
