import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import { ContextLengthError, MissingTokenizerError } from '../errors';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));
const ids = Array.from({ length: 23 }, (_, i) => (i * 37 + 5) % 300);

/** Negative log likelihood of each token but the first, by the definition, from the logits of a whole pass. */
function losses(logits: Float32Array, window: readonly number[]): number[] {
  const vocab = logits.length / window.length;
  return window.slice(1).map((id, i) => {
    const row = [...logits.subarray(i * vocab, (i + 1) * vocab)];
    return Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - row[id]!;
  });
}

test.each([2, 7, 16])('the mean over windows of 10 tokens, %d logits a pass', async (logitRows) => {
  await using model = await AutoModel.fromPretrained(fixture, { executor: 'reference', contextLength: 16, logitRows });
  const windows = [ids.slice(0, 10), ids.slice(10, 20), ids.slice(20)];
  const expected: number[] = [];
  for (const window of windows) expected.push(...losses(await model.logits(window), window));
  const mean = expected.reduce((sum, loss) => sum + loss, 0) / expected.length;
  const seen: number[] = [];
  const result = await model.perplexity({ ids, window: 10, onProgress: ({ tokens }) => seen.push(tokens) });
  expect(result.meanNegativeLogLikelihood).toBeCloseTo(mean, 5);
  expect(result.perplexity).toBeCloseTo(Math.exp(mean), 2);
  expect([result.tokens, result.windows]).toEqual([20, 3]);
  expect(seen.at(-1)).toBe(20);
  const variance = expected.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / 19;
  expect(result.standardError).toBeCloseTo(Math.sqrt(variance / 20), 5);
});

test('what cannot be scored is refused', async () => {
  await using model = await AutoModel.fromPretrained(fixture, { executor: 'reference', contextLength: 16 });
  await expect(model.perplexity({ ids: [1] })).rejects.toMatchObject({ option: 'text' });
  await expect(model.perplexity({})).rejects.toMatchObject({ option: 'text' });
  await expect(model.perplexity({ ids, window: 1 })).rejects.toMatchObject({ option: 'window' });
  await expect(model.perplexity({ ids, window: 17 })).rejects.toSatisfy(ContextLengthError.isInstance);
  await expect(model.perplexity({ text: 'x' })).rejects.toSatisfy(MissingTokenizerError.isInstance);
  await expect(model.perplexity({ ids, signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
});
