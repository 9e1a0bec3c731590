import { OptionError } from '@airllm/loader';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BudgetError } from '../errors';
import { buildModel } from '../models/registry';
import { laidOut } from '../testing/laid-out';
import { tinyConfig } from '../testing/tiny-configs';
import { planResidency } from './residency';
import { stateBytes } from './state-bytes';
import type { Plan, PlanOptions } from './types';

const anyOptions = fc.record({
  processBytes: fc.integer({ min: 0, max: 50_000 }),
  contextLength: fc.integer({ min: 0, max: 3000 }),
  maxRows: fc.integer({ min: 1, max: 700 }),
  readAlignment: fc.constantFrom(1, 4096),
  draft: fc.option(fc.record({ weights: fc.nat(50_000), state: fc.nat(50_000), activations: fc.nat(50_000) }), {
    nil: undefined,
  }),
});

const MIB = 2 ** 20;
const GIB = 2 ** 30;

function checkPlan(plan: Plan, options: PlanOptions): void {
  const { bytes, segments, pinned, expertSlots } = plan;
  const { memory = Infinity, weightsMemory = Infinity, draft = { weights: 0, state: 0, activations: 0 } } = options;
  expect(bytes.draft).toBe(draft.weights + draft.state + draft.activations);
  expect(bytes.total).toBeLessThanOrEqual(memory);
  expect(bytes.pinned + bytes.ring + bytes.experts + draft.weights).toBeLessThanOrEqual(weightsMemory);
  const weights = bytes.pinned + bytes.ring + bytes.experts;
  expect(bytes.total).toBe(weights + bytes.state + bytes.activations + bytes.process + bytes.draft);
  let kept = 0;
  let streamed = 0;
  const parts = segments.flatMap((segment) => segment.experts?.flat() ?? []);
  segments.forEach((segment, i) => {
    if (pinned[i]) kept += segment.bytes;
    else if (segment.experts === undefined) {
      streamed += segment.bytes;
      expect(2 * segment.bytes).toBeLessThanOrEqual(bytes.ring);
    }
  });
  const expertBytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  expect(kept).toBe(bytes.pinned);
  expect(kept + streamed + expertBytes).toBe(bytes.weights);
  expect(expertSlots.count).toBeGreaterThanOrEqual(Math.min(2, parts.length));
  expect(expertSlots.count).toBeLessThanOrEqual(parts.length);
  expect(expertSlots.count * expertSlots.bytes).toBe(bytes.experts);
  for (const part of parts) expect(part.bytes).toBeLessThanOrEqual(expertSlots.bytes);
  const held = expertSlots.count === parts.length;
  expect(plan.streamedBytes).toBe(streamed + (held ? 0 : expertBytes));
  if (streamed === 0) expect(bytes.ring).toBe(0);
  expect(plan.maxRows).toBeLessThanOrEqual(options.maxRows ?? 512);
}

function refusal(run: () => unknown): BudgetError {
  try {
    run();
  } catch (error) {
    if (BudgetError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('expected a BudgetError');
}

describe('planResidency', () => {
  test('keeps every promise at any memory from the floor up', () => {
    fc.assert(
      fc.property(tinyConfig, anyOptions, fc.double({ min: 0, max: 1.5, noNaN: true }), (rawConfig, options, share) => {
        const model = laidOut(rawConfig);
        const free = planResidency(model, options);
        checkPlan(free, options);
        expect(free.streamedBytes).toBe(0);
        const { floor } = free;
        const memory = floor.memory + Math.floor(share * free.bytes.total);
        const weightsMemory = floor.weightsMemory + Math.floor(share * free.bytes.weights);
        for (const caps of [{ memory }, { weightsMemory }, { memory, weightsMemory }]) {
          const plan = planResidency(model, { ...options, ...caps });
          checkPlan(plan, { ...options, ...caps });
          expect(plan.floor).toEqual(floor);
          expect(planResidency(laidOut(rawConfig), { ...options, ...caps })).toEqual(plan);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('works at the floor, and one byte below it names the option and the floor', () => {
    fc.assert(
      fc.property(tinyConfig, anyOptions, (rawConfig, options) => {
        const model = laidOut(rawConfig);
        const { floor } = planResidency(model, options);
        for (const option of ['memory', 'weightsMemory'] as const) {
          const least = { ...options, [option]: floor[option] };
          checkPlan(planResidency(model, least), least);
          const error = refusal(() => planResidency(model, { ...options, [option]: floor[option] - 1 }));
          expect(error).toMatchObject({ option, found: floor[option] - 1, floor: floor[option] });
        }
      }),
      { numRuns: 30 },
    );
  });

  const llama70 = buildModel(
    {
      model_type: 'llama',
      hidden_size: 8192,
      intermediate_size: 28_672,
      num_hidden_layers: 80,
      num_attention_heads: 64,
      num_key_value_heads: 8,
      vocab_size: 128_256,
      max_position_embeddings: 8192,
    },
    { dtype: 'BF16' },
  );
  const options = { processBytes: 250 * MIB, contextLength: 4096, readAlignment: 4096 };

  test('spreads the pinned set: the drive never waits for long', () => {
    const plan = planResidency(llama70, { ...options, memory: 64 * GIB });
    checkPlan(plan, { ...options, memory: 64 * GIB });
    const share = plan.bytes.pinned / plan.bytes.weights;
    expect(share).toBeGreaterThan(0.4);
    // In every tenth of the cycle, the share that is pinned is the share of the whole.
    const tenth = Math.ceil(plan.segments.length / 10);
    for (let from = 0; from < plan.segments.length; from += tenth) {
      const some = plan.segments.slice(from, from + tenth);
      const kept = some.filter((_, i) => plan.pinned[from + i]).reduce((sum, { bytes }) => sum + bytes, 0);
      expect(kept / some.reduce((sum, { bytes }) => sum + bytes, 0)).toBeCloseTo(share, 1);
    }
  });

  test('gives nearly all of a budget to pinned weights', () => {
    const plan = planResidency(llama70, { ...options, memory: 32 * GIB });
    expect(plan.bytes.ring).toBeLessThan(0.05 * 32 * GIB);
    expect(plan.bytes.total).toBeGreaterThan(31.9 * GIB);
  });

  test('narrows passes before it fails', () => {
    const wide = planResidency(llama70, options);
    expect(wide.maxRows).toBe(512);
    const { memory } = wide.floor;
    expect(planResidency(llama70, { ...options, memory }).maxRows).toBe(16);
    const middle = planResidency(llama70, { ...options, memory: memory + 400 * MIB }).maxRows;
    expect(middle).toBeGreaterThan(16);
    expect(middle).toBeLessThan(512);
    expect(planResidency(llama70, { ...options, memory: 16 * GIB }).maxRows).toBe(512);
  });

  test('routed experts get what the static weights leave', () => {
    const mixtral = buildModel({ model_type: 'mixtral' }, { dtype: 'BF16' });
    const plan = planResidency(mixtral, { ...options, memory: 16 * GIB });
    checkPlan(plan, { ...options, memory: 16 * GIB });
    expect(plan.bytes.ring).toBe(0);
    expect(plan.expertSlots.count).toBeGreaterThan(100);
    expect(plan.bytes.total).toBeGreaterThan(15.9 * GIB);
    const small = planResidency(mixtral, { ...options, memory: 2 * GIB });
    checkPlan(small, { ...options, memory: 2 * GIB });
    expect(small.expertSlots.count).toBe(2);
    expect(small.bytes.ring).toBeGreaterThan(0);
  });

  test('refuses options that make no sense', () => {
    for (const odd of [{ readAlignment: 3 }, { maxRows: 0 }, { memory: Number.NaN }, { contextLength: -1 }]) {
      expect(() => planResidency(llama70, { ...options, ...odd })).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION' }),
      );
    }
  });
});

test('state memory is for so many sequences of the context’s length, windows of each included', () => {
  const windowed = laidOut({ model_type: 'gemma3_text', num_hidden_layers: 6, sliding_window: 64 });
  const options = { processBytes: 0, contextLength: 4096, readAlignment: 1 };
  const plan = (sequences?: number) => planResidency(windowed, { ...options, sequences });
  expect(plan(8).bytes.state).toBe(8 * plan().bytes.state);
  expect(plan(8).floor.memory - plan().floor.memory).toBe(7 * stateBytes(windowed, 4096, 16));
  expect(() => plan(0)).toThrow(expect.toSatisfy(OptionError.isInstance));
});
