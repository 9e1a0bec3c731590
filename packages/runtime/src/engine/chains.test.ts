import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createExecutor, type Executor } from '@airllm/kernels';
import { openCheckpoint, openReader } from '@airllm/loader';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import { WEIGHTY_PROMPT, writeWeightyModel } from '../testing/weighty-model';
import { Engine } from './engine';
import type { Span } from './trace';

const dir = mkdtempSync(join(tmpdir(), 'airllm chains #'));
const closing: (() => Promise<void>)[] = [];
beforeAll(() => writeWeightyModel(dir, 'BF16'));
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Setup {
  /** Of the weights as memory for them. */
  readonly share: number;
  readonly chained: boolean;
  readonly maxRows?: number;
  readonly folder?: string;
}

async function open({ share, chained, maxRows = 64, folder = dir }: Setup) {
  const checkpoint = await openCheckpoint(folder);
  const model = buildModel(checkpoint.config, checkpoint);
  const reader = await openReader({ kind: 'plain' });
  const native = await createExecutor({ executor: 'native', threads: 2 });
  const without: Executor = {
    info: native.info,
    compile: (graph) => native.compile(graph),
    dispose: () => native.dispose(),
  };
  const plan = planResidency(model, {
    processBytes: 0,
    contextLength: 128,
    readAlignment: reader.alignment,
    weightsMemory: share * checkpoint.byteLength,
    maxRows,
  });
  const spans: Span[] = [];
  const observe = (span: Span) => void spans.push(span);
  const engine = new Engine({ model, plan, executor: chained ? native : without, reader, observe });
  closing.push(
    () => reader.close(),
    () => native.dispose(),
    () => engine.dispose(),
  );
  const computed = () => spans.splice(0).filter(({ track }) => track === 'compute').length;
  return { engine, plan, computed };
}

/** Logits after a prompt and after each of four tokens; `between` runs before the tokens. */
async function generate(engine: Engine, between: () => unknown = () => {}): Promise<Float32Array[]> {
  using sequence = await engine.openSequence(WEIGHTY_PROMPT.length + 4);
  const rows = WEIGHTY_PROMPT.map((input, position) => ({ sequence, position, input, wantsLogits: position >= 58 }));
  const logits = await engine.step(rows);
  for (let i = 0; i < 4; i++) {
    await between();
    logits.push(...(await engine.step([{ sequence, position: 60 + i, input: 7 * i, wantsLogits: true }])));
  }
  return logits;
}

test('a token through resident weights is two calls beside its embedding, and the same bytes', async () => {
  const chained = await open({ share: 1.2, chained: true });
  const plain = await open({ share: 1.2, chained: false });
  const counts: number[] = [];
  const logits = await generate(chained.engine, () => counts.push(chained.computed()));
  counts.push(chained.computed());
  expect(counts.slice(1)).toEqual([3, 3, 3, 3]);
  expect(chained.plan.segments.length).toBeGreaterThan(2);
  expect(logits).toEqual(await generate(plain.engine));
});

test.each([0.3, 0.6, 0.9])(
  'and so it is where %d of the weights are resident and some are lent to a wide pass',
  async (share) => {
    const wide = { share, maxRows: 16 };
    const chained = await open({ ...wide, chained: true });
    const expected = await generate((await open({ ...wide, chained: false })).engine);
    for (let i = 0; i < 2; i++) expect(await generate(chained.engine)).toEqual(expected);
  },
);

test('experts are chosen between chains', async () => {
  const folder = fileURLToPath(new URL('../../../../apps/conformance/fixtures/mixtral', import.meta.url));
  const chained = await open({ share: 2, chained: true, folder });
  const plain = await open({ share: 2, chained: false, folder });
  expect(await generate(chained.engine)).toEqual(await generate(plain.engine));
  expect(chained.plan.segments.some(({ experts }) => experts !== undefined)).toBe(true);
});

test('rows without logits, rows of several sequences and vectors go through chains too', async () => {
  const results: Float32Array[][] = [];
  for (const chained of [true, false]) {
    const { engine } = await open({ share: 1.2, chained });
    using one = await engine.openSequence(8);
    using two = await engine.openSequence(8);
    const vector = Float32Array.from({ length: 64 }, (_, i) => i / 64);
    await engine.step([{ sequence: one, position: 0, input: 3 }]);
    await engine.step([{ sequence: one, position: 1, input: vector }]);
    results.push([
      ...(await engine.step([
        { sequence: one, position: 2, input: 5, wantsLogits: true },
        { sequence: two, position: 0, input: 9 },
      ])),
      ...(await engine.step([
        { sequence: one, position: 3, input: 6, wantsLogits: true },
        { sequence: two, position: 1, input: vector, wantsLogits: true },
      ])),
    ]);
  }
  expect(results[0]).toEqual(results[1]);
});

test('a step that is broken off leaves chains that work', async () => {
  const { engine } = await open({ share: 1.2, chained: true });
  const expected = await generate(engine);
  using sequence = await engine.openSequence(4);
  const broken = engine.step([{ sequence, position: 0, input: 1, wantsLogits: true }], {
    signal: AbortSignal.abort(new Error('enough')),
  });
  await expect(broken).rejects.toThrow('enough');
  expect(await generate(engine)).toEqual(expected);
});
