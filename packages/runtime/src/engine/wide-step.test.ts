import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createExecutor } from '@airllm/kernels';
import { openCheckpoint, openReader } from '@airllm/loader';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import { WEIGHTY_CONFIG, WEIGHTY_PROMPT, writeWeightyModel } from '../testing/weighty-model';
import { Engine } from './engine';
import type { Observer, Span } from './trace';

const WINDOWED = { ...WEIGHTY_CONFIG, sliding_window: 8 };
const LAST = WEIGHTY_PROMPT.length - 1;

const dir = mkdtempSync(join(tmpdir(), 'airllm wide #'));
const closing: (() => Promise<void>)[] = [];
beforeAll(() => writeWeightyModel(dir, 'F32'));
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** `share` of the weights as memory for them. */
async function open(share: number, options: { config?: object; maxRows?: number; observe?: Observer } = {}) {
  const { config = WEIGHTY_CONFIG, maxRows, observe } = options;
  const checkpoint = await openCheckpoint(dir);
  const model = buildModel({ ...config }, checkpoint);
  const reader = await openReader({ kind: 'plain' });
  const executor = await createExecutor({ executor: 'reference' });
  const plan = planResidency(model, {
    processBytes: 0,
    contextLength: 128,
    readAlignment: reader.alignment,
    weightsMemory: share * checkpoint.byteLength,
    ...(maxRows === undefined ? {} : { maxRows }),
  });
  const engine = new Engine({ model, plan, executor, reader, observe });
  closing.push(
    () => reader.close(),
    () => executor.dispose(),
    () => engine.dispose(),
  );
  return engine;
}

async function logitsAfter(engine: Engine, ids: readonly number[], wanted = [ids.length - 1], signal?: AbortSignal) {
  using sequence = await engine.openSequence(ids.length);
  const rows = ids.map((input, position) => ({
    sequence,
    position,
    input,
    wantsLogits: wanted.includes(position),
  }));
  return await engine.step(rows, { signal });
}

test('a prompt wider than the plan has room for takes one pass, in the place of pinned weights', async () => {
  const whole = await logitsAfter(await open(2), WEIGHTY_PROMPT);
  const engine = await open(0.8, { maxRows: 4 });
  const { streamedBytes, bytes, maxRows } = engine.plan;
  expect([maxRows, streamedBytes > 0]).toEqual([4, true]);
  expect(await logitsAfter(engine, WEIGHTY_PROMPT)).toEqual(whole);
  expect(engine.stats.passes).toBe(1);
  // What was lent is pinned again, and read once more for that.
  const short = WEIGHTY_PROMPT.slice(0, 4);
  const shortLogits = await logitsAfter(await open(2), short);
  for (let i = 0; i < 3; i++) expect(await logitsAfter(engine, short)).toEqual(shortLogits);
  const before = engine.stats.bytesRead;
  for (let i = 0; i < 4; i++) await logitsAfter(engine, short);
  expect((engine.stats.bytesRead - before) / 4 / streamedBytes).toBeLessThan(1.3);
  expect(await logitsAfter(engine, WEIGHTY_PROMPT)).toEqual(whole);
  expect(bytes.pinned).toBeGreaterThan(0);
});

test('takes as many passes as before where there is nothing to lend, or where windows would keep more', async () => {
  const whole = await logitsAfter(await open(2), WEIGHTY_PROMPT);
  const poor = await open(0.12, { maxRows: 16 });
  expect(await logitsAfter(poor, WEIGHTY_PROMPT)).toEqual(whole);
  expect(poor.stats.passes).toBe(4);
  const windowed = await open(0.8, { config: WINDOWED, maxRows: 16 });
  const long = [...WEIGHTY_PROMPT, ...WEIGHTY_PROMPT.slice(0, 40)];
  const expected = await logitsAfter(await open(2, { config: WINDOWED }), long);
  expect(await logitsAfter(windowed, long)).toEqual(expected);
  // 20 rows take no more of the states than 16.
  expect(windowed.stats.passes).toBe(5);
});

test('an abort amid a wide pass gives everything back', async () => {
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  let computed = 0;
  const observe = ({ track }: Span) => {
    if (track === 'compute' && ++computed === 8) controller.abort(reason);
  };
  const engine = await open(0.8, { maxRows: 4, observe });
  await expect(logitsAfter(engine, WEIGHTY_PROMPT, [LAST], controller.signal)).rejects.toBe(reason);
  const whole = await logitsAfter(await open(2), WEIGHTY_PROMPT);
  expect(await logitsAfter(engine, WEIGHTY_PROMPT)).toEqual(whole);
  expect(await logitsAfter(engine, WEIGHTY_PROMPT.slice(0, 3))).toEqual(
    await logitsAfter(await open(2), WEIGHTY_PROMPT.slice(0, 3)),
  );
});

describe('the head', () => {
  test.each([0.12, 0.5, 2])('is neither read nor run in passes without logits, at %d of the weights', async (share) => {
    const spans: Span[] = [];
    const engine = await open(share, { maxRows: 16, observe: (span) => spans.push(span) });
    const wanted = [3, 7, LAST];
    const logits = await logitsAfter(engine, WEIGHTY_PROMPT.slice(0, 40), []);
    expect(logits).toEqual([]);
    const head = `block ${engine.model.layers.length} `;
    const ofHead = () => spans.filter(({ track, name }) => track === 'compute' && name.startsWith(head)).length;
    expect(ofHead()).toBe(0);
    expect(await logitsAfter(engine, WEIGHTY_PROMPT, wanted)).toEqual(
      await logitsAfter(await open(2), WEIGHTY_PROMPT, wanted),
    );
    expect(ofHead()).toBeGreaterThan(0);
  });

  test('of many passes is run in the last alone', async () => {
    const spans: Span[] = [];
    const engine = await open(0.12, { maxRows: 16, observe: (span) => spans.push(span) });
    await logitsAfter(engine, WEIGHTY_PROMPT);
    expect(engine.stats.passes).toBe(4);
    const head = engine.plan.segments.filter(({ block }) => block === engine.model.layers.length);
    const names = spans.filter(({ track, name }) => track === 'compute' && name.startsWith('block 5 '));
    expect(names.length).toBe(head.length);
  });
});
