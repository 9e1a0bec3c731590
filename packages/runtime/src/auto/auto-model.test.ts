import { readFileSync } from 'node:fs';
import { cp, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DisposedError, ReadError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import type { Span } from '../engine';
import { ContextLengthError, MissingTokenizerError, ModelNotFoundError } from '../errors';
import { storedTensors } from '../models/model';
import { temporaryFolder } from '../testing/temporary';
import { AutoModel } from './auto-model';
import type { LanguageModel } from './language-model';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));
const executor = 'reference';

describe('two calls at once', () => {
  test('both finish, with the tokens they would have had alone', async () => {
    await using model = await AutoModel.fromPretrained(fixture, { executor });
    const requests = [
      { ids: [1, 5, 9], maxNewTokens: 12, ignoreEos: true },
      { ids: [7, 8], maxNewTokens: 9, ignoreEos: true, temperature: 0.8, seed: 3 },
    ];
    const alone = [];
    for (const request of requests) alone.push((await model.generate(request)).ids);
    const together = await Promise.all(requests.map((request) => model.generate(request)));
    expect(together.map(({ ids }) => ids)).toEqual(alone);
  });

  test('a call made inside another one’s loop does not wait for it', async () => {
    await using model = await AutoModel.fromPretrained(fixture, { executor });
    let inner = 0;
    for await (const event of model.stream({ ids: [1, 2], maxNewTokens: 3, ignoreEos: true })) {
      if (event.type === 'text')
        inner += (await model.generate({ ids: [3], maxNewTokens: 2, ignoreEos: true })).ids.length;
    }
    expect(inner).toBe(6);
  });

  test('where the state memory holds one of them only, the second waits', async () => {
    await using model = await AutoModel.fromPretrained(fixture, { executor, contextLength: 32 });
    const request = { ids: [1, 5, 9], maxNewTokens: 20, ignoreEos: true };
    const [a, b] = await Promise.all([model.generate(request), model.generate(request)]);
    expect(a.ids).toEqual(b.ids);
  });
});

test('a stream brings every token once, then one finish', async () => {
  await using model = await AutoModel.fromPretrained(fixture, { executor });
  const ids: number[] = [];
  const types: string[] = [];
  for await (const event of model.stream({ ids: [1, 5, 9], maxNewTokens: 6, ignoreEos: true })) {
    types.push(event.type);
    if (event.type === 'text') ids.push(...event.ids);
    else {
      expect(event.ids).toEqual(ids);
      expect(event.finishReason).toBe('length');
      expect(event.usage).toEqual({ promptTokens: 3, newTokens: 6 });
      expect(event.stats.firstTokenSeconds).toBeGreaterThan(0);
    }
  }
  expect(types).toEqual([...new Array(6).fill('text'), 'finish']);
});

test('a first call counts what was read ahead while the model was opened, a later one what it reads itself', async () => {
  await using model = await AutoModel.fromPretrained(fixture, { executor, reader: 'plain' });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const request = { ids: [1, 5, 9], maxNewTokens: 3, ignoreEos: true };
  const first = (await model.generate(request)).stats;
  const { weights } = model.info.plan.bytes;
  expect(first.bytesRead).toBeGreaterThanOrEqual(weights);
  expect(first.bytesCached).toBeLessThanOrEqual(first.bytesRead);
  expect(first.cpuSecondsPerToken).toBeGreaterThan(0);
  expect((await model.generate(request)).stats.bytesRead).toBeLessThan(weights);
});

test('an end token ends the text and counts among its ids', async () => {
  const dir = temporaryFolder();
  await cp(fixture, dir, { recursive: true });
  const request = { ids: [1, 5, 9], maxNewTokens: 20 };
  await using free = await AutoModel.fromPretrained(dir, { executor });
  const { ids } = await free.generate({ ...request, ignoreEos: true });
  await writeFile(join(dir, 'generation_config.json'), JSON.stringify({ eos_token_id: [ids[7], 0] }));
  await using model = await AutoModel.fromPretrained(dir, { executor });
  const ended = await model.generate(request);
  expect(ended.ids).toEqual(ids.slice(0, ids.indexOf(ids[7]!) + 1));
  expect(ended.finishReason).toBe('eos');
  expect((await model.generate({ ...request, ignoreEos: true })).ids).toEqual(ids);
});

test('an abort rejects with its reason, before and during the work; leaving the loop ends it', async () => {
  await using model = await AutoModel.fromPretrained(fixture, { executor });
  const request = { ids: [1, 5], maxNewTokens: 100, ignoreEos: true };
  const reason = new Error('enough');
  await expect(model.generate({ ...request, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 5);
  await expect(model.generate({ ...request, signal: controller.signal })).rejects.toBe(reason);
  for await (const _ of model.stream(request)) break;
  expect((await model.generate({ ...request, maxNewTokens: 2 })).ids).toHaveLength(2);
});

test('weights that cannot be read any more are an error that names the file; once they can, the tokens are the same', async () => {
  const dir = temporaryFolder();
  await cp(fixture, dir, { recursive: true });
  const file = join(dir, 'model.safetensors');
  const bytes = await readFile(file);
  const probe = await AutoModel.fromPretrained(dir, { executor });
  const { weightsMemory } = probe.info.plan.floor;
  await probe.dispose();
  await using model = await AutoModel.fromPretrained(dir, { executor, weightsMemory });
  const request = { ids: [1, 5, 9], maxNewTokens: 4, ignoreEos: true };
  const { ids } = await model.generate(request);
  await truncate(file, 4096);
  const error = await model.generate(request).catch((reason) => reason);
  expect(ReadError.isInstance(error) && error.file).toBe(file);
  await writeFile(file, bytes, { flag: 'r+' });
  expect((await model.generate(request)).ids).toEqual(ids);
});

test('a model that was disposed says so, also to a call that was running', async () => {
  const model = await AutoModel.fromPretrained(fixture, { executor });
  const running = model.generate({ ids: [1], maxNewTokens: 200, ignoreEos: true });
  const outcome = running.then(
    () => null,
    (error) => error,
  );
  await Promise.all([model.dispose(), model.dispose()]);
  expect(DisposedError.isInstance(await outcome)).toBe(true);
  await expect(model.generate({ ids: [1] })).rejects.toSatisfy(DisposedError.isInstance);
});

test('disposal waits for the segment being run, not for the pass', async () => {
  const spans: string[] = [];
  const probe = await AutoModel.fromPretrained(fixture, { executor });
  const { weightsMemory } = probe.info.plan.floor;
  await probe.dispose();
  let model: LanguageModel | undefined;
  let disposal: Promise<void> | undefined;
  const observe = ({ track, name }: Span) => {
    if (track !== 'compute') return;
    spans.push(name);
    disposal ??= model?.dispose();
  };
  model = await AutoModel.fromPretrained(fixture, { executor, weightsMemory, observe });
  await expect(model.generate({ ids: [1, 2, 3] })).rejects.toSatisfy(DisposedError.isInstance);
  await disposal;
  // The embedding, and at most the segment that was begun meanwhile.
  expect(spans.length).toBeLessThanOrEqual(2);
  expect(model.info.plan.segments.length).toBeGreaterThan(4);
});

test('a call that waits for state memory learns of the disposal too', async () => {
  const model = await AutoModel.fromPretrained(fixture, { executor, contextLength: 32 });
  const request = { ids: [1, 5, 9], maxNewTokens: 28, ignoreEos: true };
  const calls = [model.generate(request), model.generate(request), model.generate(request)];
  const outcomes = Promise.allSettled(calls);
  await model.dispose();
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_DISPOSED' } });
});

test('what cannot be done is refused with a typed error', async () => {
  await using model = await AutoModel.fromPretrained(fixture, { executor, contextLength: 16 });
  await expect(model.generate({ prompt: 'text' })).rejects.toSatisfy(MissingTokenizerError.isInstance);
  await expect(model.generate({ ids: [1], maxNewTokens: 16 })).rejects.toSatisfy(ContextLengthError.isInstance);
  await expect(model.generate({ ids: new Array(16).fill(1) })).rejects.toSatisfy(ContextLengthError.isInstance);
  await expect(model.generate({ ids: [99_999] })).rejects.toMatchObject({ option: 'ids' });
  await expect(model.generate({ ids: [] })).rejects.toMatchObject({ option: 'prompt' });
  await expect(AutoModel.fromPretrained('./no/such/folder')).rejects.toSatisfy(ModelNotFoundError.isInstance);
});

test('without maxNewTokens the context ends the text', async () => {
  await using model = await AutoModel.fromPretrained(fixture, { executor, contextLength: 16 });
  const { ids, finishReason } = await model.generate({ ids: [1, 2], ignoreEos: true });
  expect(ids).toHaveLength(14);
  expect(finishReason).toBe('length');
});

test('fromConfig builds the model on meta, whatever its size', () => {
  const config = JSON.parse(readFileSync(`${fixture}/config.json`, 'utf8'));
  const model = AutoModel.fromConfig({
    ...config,
    num_hidden_layers: 126,
    hidden_size: 16384,
    num_attention_heads: 128,
    head_dim: 128,
    num_key_value_heads: 8,
    intermediate_size: 53248,
    vocab_size: 128256,
  });
  expect(model.parameterCount).toBeGreaterThan(400e9);
  expect(storedTensors(model).every(({ extent }) => extent === undefined)).toBe(true);
});
