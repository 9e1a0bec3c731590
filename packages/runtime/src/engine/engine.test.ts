import { fileURLToPath } from 'node:url';
import { createExecutor, type ExecutorName } from '@airllm/kernels';
import { openCheckpoint, openReader, openSafetensors } from '@airllm/loader';
import { afterEach, describe, expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import type { PlanOptions } from '../plan/types';
import { Engine } from './engine';
import type { Observer, Span } from './trace';

const fixtures = fileURLToPath(new URL('../../../../apps/conformance/fixtures/', import.meta.url));
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Setup extends Partial<PlanOptions> {
  readonly observe?: Observer;
  readonly executor?: ExecutorName;
  readonly reader?: 'direct' | 'plain';
}

async function open(
  name: string,
  { executor: executorName = 'reference', reader: kind = 'plain', observe, ...plan }: Setup = {},
) {
  const checkpoint = await openCheckpoint(`${fixtures}${name}`);
  const model = buildModel(checkpoint.config, checkpoint);
  const reader = await openReader({ kind });
  const executor = await createExecutor({ executor: executorName });
  const options = { processBytes: 0, contextLength: 256, readAlignment: reader.alignment, ...plan };
  const engine = new Engine({ model, plan: planResidency(model, options), executor, reader, observe });
  closing.push(
    () => reader.close(),
    () => executor.dispose(),
    () => engine.dispose(),
  );
  return engine;
}

async function expected(name: string) {
  const { tensors } = await openSafetensors(`${fixtures}${name}/expected.safetensors`);
  const ids = await tensors.get('input_ids')!.materialize();
  const logits = await tensors.get('logits')!.materialize();
  const words = ids.bytes();
  const count = words.byteLength / 8;
  const view = new DataView(words.buffer, words.byteOffset, words.byteLength);
  return {
    ids: Array.from({ length: count }, (_, i) => Number(view.getBigInt64(8 * i, true))),
    logits: logits.toFloat32(),
  };
}

/** Logits of every position, in steps of `chunk` rows. */
async function allLogits(engine: Engine, ids: readonly number[], chunk = ids.length): Promise<Float32Array> {
  using sequence = await engine.openSequence(ids.length);
  const rows = ids.map((input, position) => ({
    sequence,
    position,
    input,
    ropeLength: ids.length,
    wantsLogits: true,
  }));
  const logits: Float32Array[] = [];
  for (let from = 0; from < rows.length; from += chunk)
    logits.push(...(await engine.step(rows.slice(from, from + chunk))));
  const all = new Float32Array(logits.length * logits[0]!.length);
  logits.forEach((row, i) => {
    all.set(row, i * row.length);
  });
  return all;
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

describe.each(['llama', 'gemma3_text', 'gpt2', 'mixtral', 'phi3-longrope-long'])('%s', (name) => {
  test('logits are those of transformers, streamed through the smallest budget', async () => {
    const { ids, logits } = await expected(name);
    const { floor } = (await open(name)).plan;
    const engine = await open(name, { weightsMemory: floor.weightsMemory });
    expect(engine.plan.pinned.every(Boolean)).toBe(false);
    expect(largestDifference(await allLogits(engine, ids), logits)).toBeLessThan(2e-4);
  });

  test('every budget and chunk size gives the same bytes', async () => {
    const { ids } = await expected(name);
    const resident = await open(name);
    const { floor, bytes } = resident.plan;
    const whole = await allLogits(resident, ids);
    for (const weightsMemory of [floor.weightsMemory, Math.ceil((floor.weightsMemory + bytes.weights) / 2)]) {
      for (const reader of ['plain', 'direct'] as const) {
        const engine = await open(name, {
          weightsMemory: weightsMemory + (reader === 'direct' ? 2 ** 21 : 0),
          reader,
          maxRows: 16,
        });
        expect(await allLogits(engine, ids, 5)).toEqual(whole);
      }
    }
  });
});

test('an aborted step leaves the engine usable, and the next one gives the same bytes', async () => {
  const { ids } = await expected('llama');
  const { floor } = (await open('llama')).plan;
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  let isAborting = false;
  // After the first of several segments.
  const observe = ({ track }: Span) => isAborting && track === 'compute' && controller.abort(reason);
  const engine = await open('llama', { weightsMemory: floor.weightsMemory, observe });
  const before = await allLogits(engine, ids);
  using sequence = await engine.openSequence(ids.length);
  isAborting = true;
  const step = engine.step([{ sequence, position: 0, input: 1, wantsLogits: true }], { signal: controller.signal });
  await expect(step).rejects.toBe(reason);
  expect(sequence.length).toBe(0);
  expect(await allLogits(engine, ids)).toEqual(before);
});

test('steps asked for at once run in turn, each with its own bytes', async () => {
  const { ids } = await expected('llama');
  const engine = await open('llama');
  const alone = await allLogits(engine, ids);
  const both = await Promise.all([allLogits(engine, ids, 3), allLogits(engine, ids, 4)]);
  expect(both).toEqual([alone, alone]);
});
