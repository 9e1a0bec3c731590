import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DisposedError, OptionError } from '@airllm/loader';
import { expect, onTestFinished, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import type { FromPretrainedOptions } from '../auto/from-pretrained-options';
import type { LanguageModel } from '../auto/language-model';
import type { BatchOutcome } from './batch';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));

async function open(options: FromPretrainedOptions = {}) {
  const model = await AutoModel.fromPretrained(join(fixture), {
    executor: 'reference',
    contextLength: 256,
    speculate: 'off',
    ...options,
  });
  onTestFinished(() => model.dispose());
  return model;
}

interface Named {
  readonly name: string;
  readonly ids: readonly number[];
  readonly maxNewTokens: number;
  readonly ignoreEos: true;
}

/** Only a batch's requests have fields of the caller's own. */
const alone = (model: LanguageModel, { name: _, ...request }: Named) => model.generate(request);

const request = (name: string, first: number, maxNewTokens: number): Named => ({
  name,
  ids: [first, 5, 9],
  maxNewTokens,
  ignoreEos: true,
});

async function all<Request extends Named>(batch: AsyncIterable<BatchOutcome<Request>>) {
  const outcomes: BatchOutcome<Request>[] = [];
  for await (const outcome of batch) outcomes.push(outcome);
  return outcomes;
}

test('outcomes come as they complete, with their requests, and are what each would have been alone', async () => {
  const model = await open();
  const requests = [request('long', 1, 12), request('short', 2, 3), request('middle', 3, 7)];
  const batch = model.generateBatch(requests);
  const outcomes = await all(batch);
  expect(outcomes.map(({ index, request }) => [index, request.name])).toEqual([
    [1, 'short'],
    [2, 'middle'],
    [0, 'long'],
  ]);
  for (const { request, result } of outcomes) expect(result!.ids).toEqual((await alone(model, request)).ids);
  expect(batch.stats).toMatchObject({ taken: 3, completed: 3, failed: 0, promptTokens: 9, newTokens: 22 });
});

test('says what its passes were used for', async () => {
  const model = await open();
  const batch = model.generateBatch([request('a', 1, 4), request('b', 2, 4)]);
  expect(batch.stats).toMatchObject({ passes: 0, seconds: 0, tokensPerSecond: 0, rowsPerPass: 0 });
  await all(batch);
  const { passes, rows, rowsPerPass, seconds, tokensPerSecond, rowLimit } = batch.stats;
  expect([passes, rows, rowsPerPass]).toEqual([4, 12, 3]);
  expect(tokensPerSecond).toBeCloseTo(8 / seconds);
  expect(rowLimit).toMatchObject({ chosen: 'planned', rows: model.info.plan.maxRows });
  // The clock stands still when it is done.
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(batch.stats.seconds).toBe(seconds);
});

test('requests are taken as there is room for them, from a source without end', async () => {
  const model = await open({ contextLength: 64 });
  let taken = 0;
  let closed = false;
  async function* endless() {
    try {
      for (;;) yield request(`${taken}`, taken++ % 200, 4);
    } finally {
      closed = true;
    }
  }
  const batch = model.generateBatch(endless());
  let read = 0;
  for await (const { result } of batch) {
    expect(result!.ids).toHaveLength(4);
    // Two have memory, one waits for it, and what completed waits to be read.
    expect(taken - read).toBeLessThanOrEqual(4);
    if (++read === 9) break;
  }
  await alone(model, request('after', 1, 2));
  expect(closed).toBe(true);
});

test('maxSequences of the context’s length have memory at once', async () => {
  const model = await open({ contextLength: 32, maxSequences: 8 });
  const requests = Array.from({ length: 8 }, (_, i) => request(`${i}`, i, 29));
  await all(model.generateBatch(requests));
  expect(model.engine.stats.passes).toBeLessThanOrEqual(31);
  const expected = expect.toSatisfy(OptionError.isInstance);
  await expect(AutoModel.fromPretrained(fixture, { maxSequences: 0 })).rejects.toEqual(expected);
});

test('maxActive is the most that run at once', async () => {
  const model = await open();
  const requests = Array.from({ length: 6 }, (_, i) => request(`${i}`, i, 5));
  await all(model.generateBatch(requests, { maxActive: 2 }));
  expect(model.engine.stats.passes).toBeGreaterThanOrEqual(15);
  expect(() => model.generateBatch(requests, { maxActive: 0 })).toThrow(expect.toSatisfy(OptionError.isInstance));
});

test('a request that fails or is aborted is an outcome, and the others do not notice', async () => {
  const model = await open();
  const reason = new Error('odd scores');
  const aborted = new Error('enough');
  const fails = () => {
    throw reason;
  };
  const requests = [
    request('good', 1, 6),
    { ...request('bad option', 2, 6), topK: -1 },
    { ...request('bad processor', 3, 6), logitsProcessor: fails },
    { ...request('too long', 4, 400) },
    { ...request('aborted', 4, 6), signal: AbortSignal.abort(aborted) },
    null as never,
  ];
  const outcomes = await all(model.generateBatch(requests));
  const of = (name: string) => outcomes.find(({ request }) => request?.name === name)!;
  expect(of('good').result!.ids).toEqual((await alone(model, requests[0]!)).ids);
  expect(of('bad option').error).toMatchObject({ option: 'topK' });
  expect(of('bad processor').error).toBe(reason);
  expect(of('too long').error).toMatchObject({ code: 'ERR_CONTEXT_LENGTH' });
  expect(of('aborted').error).toBe(aborted);
  expect(outcomes.find(({ request }) => request === null)?.error).toBeDefined();
  expect(outcomes).toHaveLength(6);
});

test('a source that throws ends the batch after what was taken from it', async () => {
  const model = await open();
  const reason = new Error('the file ends in the middle of a line');
  function* broken() {
    yield request('first', 1, 6);
    throw reason;
  }
  const batch = model.generateBatch(broken());
  expect((await batch.next()).value?.request.name).toBe('first');
  await expect(batch.next()).rejects.toBe(reason);
  expect(await batch.next()).toEqual({ done: true, value: undefined });
});

test('the batch’s signal ends it, whatever it waits for', async () => {
  const model = await open();
  const reason = new Error('enough');
  const controller = new AbortController();
  async function* slow() {
    yield request('first', 1, 200);
    await new Promise(() => {});
  }
  const batch = model.generateBatch(slow(), { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 5);
  await expect(all(batch)).rejects.toBe(reason);
  let taken = false;
  function* never() {
    taken = true;
    yield request('never', 1, 1);
  }
  await expect(all(model.generateBatch(never(), { signal: controller.signal }))).rejects.toBe(reason);
  expect(taken).toBe(false);
  expect((await alone(model, request('after', 1, 3))).ids).toHaveLength(3);
});

test('a model that is disposed ends its batches, however many requests there are', async () => {
  const model = await open();
  function* endless() {
    for (let i = 0; ; i++) yield request(`${i}`, i % 200, 100);
  }
  const batch = model.generateBatch(endless(), { maxActive: 3 });
  const outcomes = all(batch);
  setTimeout(() => void model.dispose(), 10);
  await expect(outcomes).rejects.toEqual(expect.toSatisfy(DisposedError.isInstance));
});

test('leaving the loop gives up what runs', async () => {
  const model = await open();
  const requests = [request('short', 1, 2), request('long', 2, 200)];
  for await (const _ of model.generateBatch(requests)) break;
  const { passes } = model.engine.stats;
  await alone(model, request('after', 1, 2));
  expect(model.engine.stats.passes - passes).toBeLessThan(6);
});
