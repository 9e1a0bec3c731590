import { fileURLToPath } from 'node:url';
import { OptionError } from '@airllm/loader';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import type { LanguageModel } from '../auto/language-model';
import type { GenerateOptions } from './types';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));
let model: LanguageModel;
beforeAll(async () => {
  model = await AutoModel.fromPretrained(fixture, { executor: 'reference' });
});
afterAll(() => model.dispose());

const generate = (options: GenerateOptions = {}) =>
  model.generate({ ids: [1, 5, 9], maxNewTokens: 10, ignoreEos: true, ...options });

test('a banned token is never generated, greedily or not', async () => {
  const { ids: plain } = await generate();
  const { ids } = await generate({ bannedTokens: plain });
  expect(plain.filter((id) => ids.includes(id))).toEqual([]);
  const first = plain[0]!;
  const drawn = await generate({ bannedTokens: [first], topK: 2, seed: 1 });
  expect(drawn.ids).not.toContain(first);
});

test('a sequence is kept from being completed', async () => {
  const { ids: plain } = await generate();
  const { ids } = await generate({ badWordsIds: [plain.slice(0, 3), [5, 9, 300]] });
  expect(ids.slice(0, 2)).toEqual(plain.slice(0, 2));
  expect(ids[2]).not.toBe(plain[2]);
});

test('a bias is added: enough of it forces a token; records, maps and pairs mean the same', async () => {
  for (const logitBias of [{ 42: 1e3 }, new Map([[42, 1e3]]), [[42, 1e3]] as const]) {
    expect((await generate({ logitBias, maxNewTokens: 3 })).ids).toEqual([42, 42, 42]);
  }
});

test('frequency and presence penalties take from what was generated, and not from what was asked', async () => {
  const told: { ids: readonly number[]; scores: Float32Array }[] = [];
  const options = { maxNewTokens: 6, logitBias: { 7: 40, 5: 30 }, returnLogits: true };
  const { ids, logits } = await generate({
    ...options,
    frequencyPenalty: 4,
    presencePenalty: 2.5,
    logitsProcessor: (ids, scores) => {
      told.push({ ids: [...ids], scores: scores.slice() });
    },
  });
  expect(new Set(ids).size).toBeLessThan(ids.length);
  for (const [step, { ids: all, scores }] of told.entries()) {
    const said = all.slice(3);
    for (const id of [1, 5, 7, 9, 300]) {
      const count = said.filter((other) => other === id).length;
      const bias = id === 7 ? 40 : id === 5 ? 30 : 0;
      expect(scores[id]).toBeCloseTo(logits![step]![id]! + bias - (count > 0 ? 2.5 : 0) - 4 * count, 4);
    }
  }
  expect((await generate({ ...options, frequencyPenalty: 0 })).ids).toEqual([7, 7, 7, 7, 7, 7]);
});

test('processors see every token so far and change the scores in turn', async () => {
  const lengths: number[] = [];
  const { ids } = await generate({
    maxNewTokens: 3,
    logitsProcessor: [
      (history, scores) => {
        lengths.push(history.length, scores.length);
        scores.fill(Number.NEGATIVE_INFINITY);
      },
      (history, scores) => {
        scores[100 + history.length] = 0;
      },
    ],
  });
  const { vocabSize } = model.engine.model.config;
  expect(lengths).toEqual([3, vocabSize, 4, vocabSize, 5, vocabSize]);
  expect(ids).toEqual([103, 104, 105]);
});

test('an error of a processor is the call’s, and leaves the model as it was', async () => {
  const before = await generate();
  const failing = generate({
    logitsProcessor: (ids) => {
      if (ids.length > 5) throw new RangeError('enough');
    },
  });
  await expect(failing).rejects.toThrow('enough');
  const all = Array.from({ length: model.engine.model.config.vocabSize }, (_, id) => id);
  await expect(generate({ bannedTokens: all })).rejects.toHaveProperty('code', 'ERR_NO_CANDIDATE');
  expect((await generate()).ids).toEqual(before.ids);
});

test('a stopping criterion ends the text with what it saw', async () => {
  const { ids: plain } = await generate();
  const { ids, finishReason } = await generate({ stoppingCriteria: [() => false, (ids) => ids.length === 3 + 4] });
  expect({ ids, finishReason }).toEqual({ ids: plain.slice(0, 4), finishReason: 'stop' });
});

describe('what makes no sense is refused by name', () => {
  test.each<[keyof GenerateOptions, unknown]>([
    ['logitBias', { 320: 1 }],
    ['logitBias', { x: 1 }],
    ['logitBias', { 1: Number.NaN }],
    ['logitBias', { 1: Number.POSITIVE_INFINITY }],
    ['bannedTokens', [-1]],
    ['bannedTokens', [1.5]],
    ['badWordsIds', [[]]],
    ['badWordsIds', [[1, 320]]],
    ['logitsProcessor', 'x'],
    ['stoppingCriteria', ['x']],
    ['topLogprobs', -1],
    ['topLogprobs', 1.5],
  ])('%s: %j', async (option, value) => {
    const error = await generate({ [option]: value }).catch((reason) => reason);
    expect(OptionError.isInstance(error) && error.option).toBe(option);
  });
});
