import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, OptionError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../testing/temporary';
import { loadGenerationDefaults, readGenerationDefaults } from './generation-config';
import { resolveGeneration } from './options';

const method = (options: Parameters<typeof resolveGeneration>[0], raw: unknown = {}) =>
  resolveGeneration(options, readGenerationDefaults(raw)).sampling.method;

test('greedy unless something asks for sampling', () => {
  expect(method({})).toBe('greedy');
  expect(method({}, { do_sample: true })).toBe('random');
  expect(method({ topP: 0.9 })).toBe('random');
  expect(method({ seed: 1 })).toBe('random');
  expect(method({ repetitionPenalty: 1.1, frequencyPenalty: 1, presencePenalty: -1 })).toBe('greedy');
});

test('temperature 0 and doSample: false are greedy, whatever the model recommends', () => {
  expect(method({ temperature: 0 }, { do_sample: true })).toBe('greedy');
  expect(method({ doSample: false, topK: 5 }, { do_sample: true })).toBe('greedy');
  expect(method({ temperature: 0, topP: 0.5, doSample: true })).toBe('greedy');
});

test('options win over generation_config.json, which wins over transformers’ defaults', () => {
  const raw = { temperature: 0.6, top_k: 20, top_p: 0.95, repetition_penalty: 1.1, min_p: null };
  const { sampling } = resolveGeneration({ topK: 5 }, readGenerationDefaults(raw));
  expect(sampling).toMatchObject({
    method: 'random',
    temperature: 0.6,
    topK: 5,
    topP: 0.95,
    minP: 0,
    repetitionPenalty: 1.1,
  });
  expect(resolveGeneration({}, {}).sampling.topK).toBe(50);
});

test('a value out of range is refused by the name of its option', () => {
  for (const options of [
    { temperature: -1 },
    { topP: 0 },
    { topP: 1.5 },
    { topK: 1.5 },
    { minP: 2 },
    { repetitionPenalty: 0 },
    { frequencyPenalty: Number.POSITIVE_INFINITY },
    { presencePenalty: Number.NaN },
    { seed: -1 },
    { maxNewTokens: 0 },
    { stop: '' },
    { temperature: Number.NaN },
  ]) {
    const [option] = Object.keys(options);
    try {
      resolveGeneration(options, {});
      expect.unreachable();
    } catch (error) {
      expect(OptionError.isInstance(error) && error.option).toBe(option);
    }
  }
});

test('a folder without generation_config.json recommends nothing; a broken one is refused by name', async () => {
  const dir = temporaryFolder();
  expect(await loadGenerationDefaults(dir)).toEqual({});
  const file = join(dir, 'generation_config.json');
  for (const text of ['{"top_k"', '[]', 'null']) {
    await writeFile(file, text);
    const error = await loadGenerationDefaults(dir).catch((reason) => reason);
    expect(FormatError.isInstance(error) && error.file, text).toBe(file);
  }
});
