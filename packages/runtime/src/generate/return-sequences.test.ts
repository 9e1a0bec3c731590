import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OptionError } from '@airllm/loader';
import { expect, onTestFinished, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import type { FromPretrainedOptions } from '../auto/from-pretrained-options';

const fixtures = fileURLToPath(new URL('../../../../apps/conformance/fixtures/', import.meta.url));

async function open(name: string, options: FromPretrainedOptions = {}) {
  const model = await AutoModel.fromPretrained(join(fixtures, name), {
    executor: 'reference',
    speculate: 'off',
    ...options,
  });
  onTestFinished(() => model.dispose());
  return model;
}

const PROMPT = Array.from({ length: 20 }, (_, i) => (i * 37 + 11) % 200);
const request = { ids: PROMPT, maxNewTokens: 10, seed: 5, topK: 30, ignoreEos: true };

test.each([
  ['llama', 256],
  // Windows that the prompt has passed.
  ['gemma3_text', 256],
  // Memory for two texts, and for one.
  ['llama', 64],
  ['llama', 32],
  ['gemma3_text', 32],
])('%s with memory for %i positions: texts of one prompt are those of its seeds', async (name, contextLength) => {
  const model = await open(name, { contextLength });
  const seeds = [5, 6, 7, 8];
  const alone = [];
  for (const seed of seeds) alone.push((await model.generate({ ...request, seed })).ids);
  expect(new Set(alone.map((ids) => ids.join())).size).toBe(4);
  const { sequences, ...first } = await model.generate({ ...request, numReturnSequences: 4 });
  expect(sequences!.map(({ ids }) => ids)).toEqual(alone);
  expect(sequences!.map(({ stats }) => stats.seed)).toEqual(seeds);
  expect(first).toEqual(sequences![0]);
});

test('the prompt is run once, and the texts share passes', async () => {
  const model = await open('llama');
  await model.generate({ ...request, numReturnSequences: 3 });
  expect(model.engine.stats).toMatchObject({ passes: 10, rows: PROMPT.length + 3 * 9 });
});

test('where there is memory for one, the others run the prompt’s last token anew', async () => {
  const model = await open('llama', { contextLength: 32 });
  await model.generate({ ...request, numReturnSequences: 3 });
  expect(model.engine.stats).toMatchObject({ passes: 30, rows: PROMPT.length + 9 + 2 * 10 });
});

test('an abort, or an error of one, ends all of them', async () => {
  const model = await open('llama', { contextLength: 64 });
  const reason = new Error('enough');
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 5);
  const aborted = model.generate({ ...request, maxNewTokens: 40, numReturnSequences: 9, signal: controller.signal });
  await expect(aborted).rejects.toBe(reason);
  let calls = 0;
  const fails = () => {
    if (++calls === 12) throw reason;
  };
  await expect(model.generate({ ...request, numReturnSequences: 4, logitsProcessor: fails })).rejects.toBe(reason);
  expect((await model.generate({ ...request, maxNewTokens: 44 })).ids).toHaveLength(44);
});

test('is refused where it means nothing', async () => {
  const model = await open('llama');
  const refused = expect.toSatisfy(OptionError.isInstance);
  const greedy = { ids: [1, 2], doSample: false };
  await expect(model.generate({ ...greedy, numReturnSequences: 2 })).rejects.toEqual(refused);
  await expect(model.generate({ ...request, numReturnSequences: 0 })).rejects.toEqual(refused);
  await expect(model.stream({ ...request, numReturnSequences: 2 }).next()).rejects.toEqual(refused);
  expect((await model.generate({ ...greedy, maxNewTokens: 2, numReturnSequences: 1 })).sequences).toHaveLength(1);
});
