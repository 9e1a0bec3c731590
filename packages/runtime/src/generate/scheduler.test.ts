import { cp, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DisposedError, ReadError } from '@airllm/loader';
import { expect, onTestFinished, test, vi } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import type { FromPretrainedOptions } from '../auto/from-pretrained-options';
import type { Span } from '../engine';
import { temporaryFolder } from '../testing/temporary';
import { PassCosts } from './pass-costs';
import type { GenerateRequest, GenerateResult } from './types';

const fixtures = fileURLToPath(new URL('../../../../apps/conformance/fixtures/', import.meta.url));

async function open(name = 'llama', options: FromPretrainedOptions = {}) {
  const model = await AutoModel.fromPretrained(join(fixtures, name), {
    executor: 'reference',
    contextLength: 256,
    speculate: 'off',
    ...options,
  });
  onTestFinished(() => model.dispose());
  return model;
}

/** Requests that differ in everything that may differ. */
function mixed(returnLogits = false): GenerateRequest[] {
  const ids = (length: number, from: number) => Array.from({ length }, (_, i) => (i * 37 + from) % 200);
  return [
    { ids: ids(3, 1), maxNewTokens: 12, ignoreEos: true, returnLogits },
    { ids: ids(40, 7), maxNewTokens: 5, temperature: 0.8, seed: 3, ignoreEos: true, returnLogits },
    { ids: ids(1, 9), maxNewTokens: 9, repetitionPenalty: 1.3, ignoreEos: true, returnLogits },
    { ids: ids(20, 2), maxNewTokens: 1, ignoreEos: true, returnLogits },
    { ids: ids(17, 5), maxNewTokens: 14, topK: 20, topP: 0.9, seed: 11, ignoreEos: true, returnLogits },
  ];
}

const bytesOf = ({ ids, logits }: GenerateResult) => ({ ids, logits });
const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );

test.each(['llama', 'gemma3_text', 'gpt2', 'mixtral', 'llama-dynamic-crossing', 'phi3-longrope-crossing'])(
  '%s: each gets the bytes it would have had alone, in any company and however passes are cut',
  async (name) => {
    // It has learned no further positions; five texts of as many have room at once.
    const room = name === 'gpt2' ? { contextLength: 48, maxSequences: 5 } : {};
    const model = await open(name, room);
    const alone = [];
    for (const request of mixed(true)) alone.push(bytesOf(await model.generate(request)));
    const { weightsMemory } = model.info.plan.floor;
    for (const options of [{}, { maxRows: 8 }, { weightsMemory, maxRows: 16 }]) {
      const other = await open(name, { ...room, ...options });
      const together = await Promise.all(mixed(true).map((request) => other.generate(request)));
      expect(together.map(bytesOf)).toEqual(alone);
    }
  },
);

test('calls made together take the passes of the longest of them', async () => {
  const model = await open();
  await Promise.all(mixed().map((request) => model.generate(request)));
  expect(model.engine.stats.passes).toBe(14);
});

test('more sequences than have their logits computed together still share one pass', async () => {
  const model = await open('llama', { contextLength: 2048 });
  const requests = Array.from({ length: 40 }, (_, i) => ({ ids: [i, 2], maxNewTokens: 4, ignoreEos: true }));
  const results = await Promise.all(requests.map((request) => model.generate(request)));
  expect(model.info.plan.logitRows).toBeLessThan(40);
  expect(model.engine.stats.passes).toBe(4);
  const other = await open('llama', { logitRows: 64 });
  for (const i of [0, 15, 16, 39]) expect((await other.generate(requests[i]!)).ids).toEqual(results[i]!.ids);
});

test('whoever comes later joins between passes, and prompts ride in the passes that decode', async () => {
  const model = await open('llama', { maxRows: 16 });
  const [first, , , , second] = mixed();
  const alone = [await model.generate(first!), await model.generate(second!)];
  const before = model.engine.stats;
  let joined: Promise<GenerateResult> | undefined;
  let tokens = 0;
  let ids: readonly number[] = [];
  for await (const event of model.stream(first!)) {
    if (event.type === 'finish') ids = event.ids;
    else if (event.type === 'text' && ++tokens === 3) joined = model.generate(second!);
  }
  expect(ids).toEqual(alone[0]!.ids);
  expect((await joined!).ids).toEqual(alone[1]!.ids);
  // 17 rows of a prompt beside one that decodes: 15 and then 2, so 14 more tokens end in pass 18 or so; later where rows
  // cost so much that the one would have to wait for them.
  const passes = model.engine.stats.passes - before.passes;
  expect(passes).toBeGreaterThanOrEqual(17);
  expect(passes).toBeLessThan(12 + 17);
});

/** A machine on which each row takes a millisecond, whatever else goes on on this one. */
function millisecondRows(): void {
  const { record } = PassCosts.prototype;
  const spy = vi.spyOn(PassCosts.prototype, 'record').mockImplementation(function (this: PassCosts, pass) {
    const seconds = pass.rows / 1000;
    record.call(this, { ...pass, seconds, computeSeconds: seconds, waitSeconds: 0 });
  });
  onTestFinished(() => spy.mockRestore());
}

test('a long prompt comes in pieces where a pass of all of it would let others wait', async () => {
  millisecondRows();
  const rows: number[] = [];
  const observe = (span: Span) => span.track === 'pass' && rows.push(span.rows!);
  const model = await open('llama', { observe });
  const [first] = mixed();
  const long = { ids: Array.from({ length: 200 }, (_, i) => (i * 37) % 200), maxNewTokens: 2, ignoreEos: true };
  const alone = (await model.generate(long)).ids;
  expect(rows).toEqual([200, 1]);
  rows.length = 0;
  let tokens = 0;
  let joined: Promise<GenerateResult> | undefined;
  for await (const _ of model.stream({ ...first!, maxNewTokens: 50 }))
    if (++tokens === 5) joined = model.generate(long);
  expect((await joined!).ids).toEqual(alone);
  // Alone again with what is left of it, it may take a wide pass.
  const shared = rows.slice(0, 50);
  expect(shared.some((count) => count > 1)).toBe(true);
  expect(Math.max(...shared.slice(1))).toBeLessThan(150);
});

test('one that is aborted leaves at once, and the others do not notice', async () => {
  const spans: Span[] = [];
  const controller = new AbortController();
  const reason = new Error('enough');
  const model = await open('llama', {
    observe: (span) => {
      spans.push(span);
      // In the middle of a pass.
      if (span.track === 'compute' && spans.filter(({ track }) => track === 'pass').length === 3)
        controller.abort(reason);
    },
  });
  const [first, second] = mixed();
  const alone = (await (await open()).generate(first!)).ids;
  const aborted = reasonOf(model.generate({ ...second!, maxNewTokens: 50, signal: controller.signal }));
  const other = model.generate(first!);
  expect(await aborted).toBe(reason);
  const passes = () => spans.filter(({ track }) => track === 'pass').length;
  // Its rows are in the pass that still runs.
  expect(passes()).toBe(3);
  expect((await other).ids).toEqual(alone);
  expect(passes()).toBe(12);
});

test('a pass that nobody wants any more ends between two segments', async () => {
  const probe = await open();
  const { weightsMemory } = probe.info.plan.floor;
  const controller = new AbortController();
  let computed = 0;
  const model = await open('llama', {
    weightsMemory,
    observe: ({ track }) => {
      if (track === 'compute' && ++computed === 3) controller.abort(new Error('enough'));
    },
  });
  const requests = mixed().map((request) => ({ ...request, signal: controller.signal }));
  const outcomes = await Promise.allSettled(requests.map((request) => model.generate(request)));
  expect(outcomes.map(({ status }) => status)).toEqual(requests.map(() => 'rejected'));
  expect((await model.generate(mixed()[0]!)).ids).toEqual((await probe.generate(mixed()[0]!)).ids);
  expect(model.engine.stats.passes).toBe(12);
});

test('what goes wrong with one is its own matter', async () => {
  const model = await open();
  const [first, second] = mixed();
  const alone = (await model.generate(first!)).ids;
  const reason = new Error('odd scores');
  const failing = (ids: readonly number[]) => {
    if (ids.length === 43) throw reason;
  };
  const failed = reasonOf(model.generate({ ...second!, logitsProcessor: failing }));
  expect((await model.generate(first!)).ids).toEqual(alone);
  expect(await failed).toBe(reason);
});

test('what all need and cannot have is everybody’s error, and once it is there again all goes on', async () => {
  const dir = temporaryFolder();
  await cp(join(fixtures, 'llama'), dir, { recursive: true });
  const file = join(dir, 'model.safetensors');
  const bytes = await readFile(file);
  const probe = await AutoModel.fromPretrained(dir, { executor: 'reference' });
  const { weightsMemory } = probe.info.plan.floor;
  await probe.dispose();
  await using model = await AutoModel.fromPretrained(dir, { executor: 'reference', weightsMemory });
  const run = () => Promise.allSettled(mixed().map((request) => model.generate(request)));
  const before = await run();
  await truncate(file, 4096);
  for (const outcome of await run()) {
    expect(outcome.status === 'rejected' && ReadError.isInstance(outcome.reason)).toBe(true);
  }
  await writeFile(file, bytes, { flag: 'r+' });
  const ids = (outcomes: typeof before) =>
    outcomes.map((outcome) => outcome.status === 'fulfilled' && outcome.value.ids);
  expect(ids(await run())).toEqual(ids(before));
});

test('a reader that does not read holds nobody up, and loses nothing', async () => {
  const model = await open();
  const [first] = mixed();
  const long = { ...first!, maxNewTokens: 40 };
  const alone = (await model.generate(long)).ids;
  const stream = model.stream(long);
  const ids: number[] = [];
  const take = async () => {
    const { value } = await stream.next();
    if (value?.type === 'text') ids.push(...value.ids);
    return value?.type;
  };
  await take();
  const before = model.engine.stats.passes;
  expect((await model.generate(long)).ids).toEqual(alone);
  // It went on for as long as somebody might come and read, and not to its end.
  expect(model.engine.stats.passes - before).toBeLessThanOrEqual(45);
  const idle = model.engine.stats.passes;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(model.engine.stats.passes).toBe(idle);
  while ((await take()) === 'text');
  expect(ids).toEqual(alone);
});

test('those for whom there is no memory yet wait until others leave', async () => {
  const model = await open('llama', { contextLength: 64 });
  const requests = Array.from({ length: 7 }, (_, i) => ({ ids: [i, 5, 9], maxNewTokens: 20, ignoreEos: true }));
  const results = await Promise.all(requests.map((request) => model.generate(request)));
  const roomy = await open();
  for (const [i, request] of requests.entries()) expect(results[i]!.ids).toEqual((await roomy.generate(request)).ids);
  // Blocks are of 32 positions: two at a time.
  expect(model.engine.stats.passes).toBeGreaterThanOrEqual(4 * 20);
});

test('disposing a model ends all that run, decode, wait for memory or for their readers', async () => {
  const model = await open('llama', { contextLength: 64 });
  const request = { ids: [1, 5, 9], maxNewTokens: 28, ignoreEos: true };
  const unread = model.stream(request);
  await unread.next();
  const calls = [model.generate(request), model.generate(request), model.generate(request)];
  const outcomes = Promise.allSettled(calls);
  await model.dispose();
  for (const outcome of await outcomes) {
    expect(outcome.status === 'rejected' && DisposedError.isInstance(outcome.reason)).toBe(true);
  }
  const rest = async () => {
    for await (const _ of { [Symbol.asyncIterator]: () => unread });
  };
  expect(DisposedError.isInstance(await reasonOf(rest()))).toBe(true);
});

test('calls may share a signal, however many', async () => {
  const warnings: string[] = [];
  const heard = ({ name }: Error) => warnings.push(name);
  process.on('warning', heard);
  onTestFinished(() => {
    process.off('warning', heard);
  });
  const model = await open('llama', { contextLength: 64 });
  const { signal } = new AbortController();
  const calls = Array.from({ length: 20 }, () => model.generate({ ids: [1], maxNewTokens: 1, signal }));
  await Promise.all(calls);
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings).toEqual([]);
});

test('prompts past narrow windows find their places pass by pass, alone and in company', async () => {
  const ids = Array.from({ length: 200 }, (_, i) => (i * 37 + 5) % 200);
  const request = { ids, maxNewTokens: 4, ignoreEos: true };
  const roomy = await open('gemma3_text');
  const { ids: expected } = await roomy.generate(request);
  const { floor, bytes } = roomy.info.plan;
  for (const share of [0, 0.5, 0.9]) {
    const weightsMemory = Math.ceil(floor.weightsMemory + share * (bytes.weights - floor.weightsMemory));
    const model = await open('gemma3_text', { contextLength: 2 * 224, maxRows: 16, weightsMemory });
    expect((await model.generate(request)).ids).toEqual(expected);
    const both = await Promise.all([model.generate(request), model.generate(request)]);
    expect(both.map(({ ids }) => ids)).toEqual([expected, expected]);
  }
});
