import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import { haveShared, shared } from '../testing/shared';
import { chosenLogprob } from './logprobs';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));

/** Softmax as in a textbook, for moderate logits. */
function logSoftmax(logits: Float32Array): number[] {
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  return Array.from(logits, (logit) => Math.log(Math.exp(logit) / total));
}

test('the most likely come first, lower ids among equals, as many as asked for', () => {
  const logits = Float32Array.of(1, 3, 2, 3, -50);
  const told = chosenLogprob(logits, 0, 3, (id) => `<${id}>`);
  const all = logSoftmax(logits);
  expect(told).toMatchObject({ id: 0, token: '<0>' });
  expect(told.logprob).toBeCloseTo(all[0]!, 12);
  expect(told.top.map(({ id, token }) => [id, token])).toEqual([
    [1, '<1>'],
    [3, '<3>'],
    [2, '<2>'],
  ]);
  for (const { id, logprob } of told.top) expect(logprob).toBeCloseTo(all[id]!, 12);
  expect(chosenLogprob(logits, 2, 0, String).top).toEqual([]);
  expect(chosenLogprob(logits, 2, 9, String).top).toHaveLength(5);
});

test('large logits do not overflow', () => {
  expect(chosenLogprob(Float32Array.of(1e4, 1e4), 0, 0, String).logprob).toBeCloseTo(-Math.LN2, 6);
});

test('they are those of the model’s own distribution, whatever was done to the scores', async () => {
  await using model = await AutoModel.fromPretrained(fixture, { executor: 'reference' });
  const request = {
    ids: [1, 5, 9],
    maxNewTokens: 8,
    ignoreEos: true,
    returnLogits: true,
    topLogprobs: 4,
    temperature: 3,
    topK: 300,
    repetitionPenalty: 1.5,
    logitBias: { 7: 2, 8: -Infinity },
    seed: 11,
  } as const;
  const { ids, logits, logprobs } = await model.generate(request);
  expect(logprobs).toHaveLength(ids.length);
  let outsiders = 0;
  logprobs!.forEach(({ id, logprob, top }, i) => {
    const all = logSoftmax(logits![i]!);
    const best = [...all.keys()].sort((a, b) => all[b]! - all[a]!).slice(0, 4);
    expect(id).toBe(ids[i]);
    expect(logprob).toBeCloseTo(all[id]!, 6);
    expect(top.map(({ id }) => id)).toEqual(best);
    for (const each of top) expect(each.logprob).toBeCloseTo(all[each.id]!, 6);
    if (!best.includes(id)) outsiders++;
  });
  // Drawn hot: most tokens are not among the likeliest, and are told all the same.
  expect(outsiders).toBeGreaterThan(0);
  const streamed = [];
  for await (const event of model.stream(request)) {
    if (event.type === 'text') streamed.push(...event.logprobs!);
  }
  expect(streamed).toEqual(logprobs);
});

describe.skipIf(!haveShared())('a trained model', () => {
  test('is sure of what it says: tokens have their text', async () => {
    await using model = await AutoModel.fromPretrained(shared('models/stories260K'));
    const { text, logprobs } = await model.generate({ prompt: 'Once upon a', maxNewTokens: 12, topLogprobs: 2 });
    expect(logprobs!.map(({ token }) => token).join('')).toBe(text);
    // Greedy: what was chosen is the likeliest.
    for (const { id, top } of logprobs!) expect(top[0]!.id).toBe(id);
  });
});
