import { fileURLToPath } from 'node:url';
import { DisposedError, OptionError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { haveShared, shared } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';
import { AutoModel } from '../auto-model';
import type { FromPretrainedOptions } from '../from-pretrained-options';
import type { ConversionProgress } from '../weights/open-weights';

const fixture = fileURLToPath(new URL('../../../../../apps/conformance/fixtures/llama', import.meta.url));
const request = { ids: [1, 5, 9, 20, 5, 9], maxNewTokens: 40, ignoreEos: true };

async function open(source: string, options: FromPretrainedOptions) {
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const model = await AutoModel.fromPretrained(source, { cacheDir: temporaryFolder(), onWarning, ...options });
  return { model, warnings };
}

test('prompt lookup is what there is without being asked for; off is off', async () => {
  for (const [speculate, drafter] of [
    [undefined, 'lookup'],
    ['off', null],
  ] as const) {
    const { model } = await open(fixture, { speculate });
    await using _ = model;
    expect(model.info.drafter).toBe(drafter);
    expect(model.info.plan.bytes.draft).toBe(0);
    const { stats } = await model.generate(request);
    expect(stats.speculation?.drafter ?? null).toBe(drafter);
  }
});

test('a copy of the model in 4 bits is made once and drafts, in memory that the plan counts', async () => {
  const cacheDir = temporaryFolder();
  const told: ConversionProgress[] = [];
  const onConversion = (progress: ConversionProgress) => told.push(progress);
  const { model: plain } = await open(fixture, { speculate: 'off' });
  await using _ = plain;
  const expected = await plain.generate(request);
  for (const times of ['first', 'second']) {
    told.length = 0;
    const { model, warnings } = await open(fixture, { speculate: 'self', cacheDir, onConversion });
    await using _ = model;
    expect(warnings).toEqual([]);
    expect(told.length > 0).toBe(times === 'first');
    const { bytes } = model.info.plan;
    expect(model.info.drafter).toBe('self');
    expect(bytes.draft).toBeGreaterThan(0);
    const counted = bytes.pinned + bytes.state + bytes.activations + bytes.process + bytes.draft;
    expect(bytes.total).toBe(counted);
    expect((await model.generate(request)).ids).toEqual(expected.ids);
  }
});

test('a drafter that finds no room, or takes more than it brings, is not used, and that is said', async () => {
  const { model: free } = await open(fixture, { speculate: 'off' });
  const { floor, bytes } = free.info.plan;
  await free.dispose();
  for (const [weightsMemory, reason] of [
    [floor.weightsMemory + 1000, /no room/],
    // Whoever computes as slowly as the model itself cannot make up for what must then be streamed.
    [bytes.weights + 1.2 * floor.weightsMemory, /tokens are expected to take/],
  ] as const) {
    const { model, warnings } = await open(fixture, { draftModel: fixture, weightsMemory });
    await using _ = model;
    expect(warnings).toEqual([expect.stringMatching(reason)]);
    expect(warnings[0]).toContain(fixture);
    expect(model.info.drafter).toBe('lookup');
    expect(model.info.plan.bytes.draft).toBe(0);
  }
});

test('what cannot be is refused by name', async () => {
  const refused = async (options: FromPretrainedOptions) => {
    const error = await open(fixture, options).catch((reason) => reason);
    return OptionError.isInstance(error) && error.option;
  };
  expect(await refused({ speculate: 'always' as never })).toBe('speculate');
  expect(await refused({ speculate: 'self', draftModel: fixture })).toBe('speculate');
});

describe.skipIf(!haveShared())('of real models', () => {
  test('a smaller model drafts for one with its tokenizer', async () => {
    const source = shared('models/stories15M-mixtral');
    const prompt = { prompt: 'Once upon a time', maxNewTokens: 24, doSample: false };
    const { model: plain } = await open(source, { speculate: 'off', contextLength: 128 });
    const expected = await plain.generate(prompt);
    await plain.dispose();
    const draftModel = shared('models/stories15M');
    const { model } = await open(source, { draftModel, contextLength: 128 });
    await using _ = model;
    expect(model.info.drafter).toBe('model');
    expect((await model.generate(prompt)).text).toBe(expected.text);
  });

  test('one with another tokenizer is refused, naming a token that differs', async () => {
    const opening = open(shared('models/stories15M'), { draftModel: shared('models/stories260K') });
    const error = await opening.catch((reason) => reason);
    expect(OptionError.isInstance(error) && error.option).toBe('draftModel');
    expect(error.message).toMatch(/token \d+ is "/);
  });

  test('no copy is made of a model that is quantised already', async () => {
    const { model, warnings } = await open(shared('golden-quant/bnb-nf4'), { speculate: 'self' });
    await using _ = model;
    expect(warnings).toEqual([expect.stringMatching(/quantised already.*prompt lookup/)]);
    expect(model.info.drafter).toBe('lookup');
  });
});

test('an aborted call leaves drafter and model as they were', async () => {
  const { model } = await open(fixture, { draftModel: fixture });
  await using _ = model;
  const expected = await model.generate(request);
  const controller = new AbortController();
  const reason = new Error('enough');
  const aborted = (async () => {
    for await (const _ of model.stream({ ...request, signal: controller.signal })) controller.abort(reason);
  })();
  await expect(aborted).rejects.toBe(reason);
  expect((await model.generate(request)).ids).toEqual(expected.ids);
});

test('a model that is disposed while something is drafted ends the call with that error', async () => {
  const { model } = await open(fixture, { draftModel: fixture });
  const cut = (async () => {
    for await (const _ of model.stream(request)) void model.dispose();
  })();
  const error = await cut.catch((reason) => reason);
  expect(DisposedError.isInstance(error)).toBe(true);
  await model.dispose();
});
