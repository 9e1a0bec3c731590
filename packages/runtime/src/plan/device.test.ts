import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BudgetError } from '../errors';
import type { Model } from '../models/model';
import { laidOut } from '../testing/laid-out';
import { tinyConfig } from '../testing/tiny-configs';
import { predictPass } from './predict';
import { planResidency } from './residency';
import { worstPartBytes } from './segments';
import { stateBytes } from './state-bytes';
import { summarisePlan } from './summary';
import type { DeviceGrant, Plan } from './types';

const HOST = { processBytes: 0, contextLength: 100, readAlignment: 4096 };
const MIB = 2 ** 20;

/** A device that keeps weights as they are stored. */
function grant(bytes: number, blocks: DeviceGrant['blocks']): DeviceGrant {
  return {
    name: 'test',
    bytes,
    blocks,
    uploadBytes: (graph, part) => worstPartBytes(graph, part, 1),
    mostUploadBytes: (graph, part) => worstPartBytes(graph, part, 1),
    stateBytes: (spec, length) => 4 * length * spec.kvHeads * (spec.keyDim + spec.valueDim),
    activationBytes: (passes) => 1000 * Math.max(...passes.map(({ maxRows }) => maxRows)),
    transferBytes: () => ({ device: 0, host: 0 }),
  };
}

const LLAMA = {
  model_type: 'llama',
  hidden_size: 512,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  intermediate_size: 2048,
  num_hidden_layers: 10,
  vocab_size: 1000,
};
/** q, k, v, o of 512 × 512 and three of 512 × 2048, two norms; bf16. */
const LAYER = 2 * (4 * 512 * 512 + 3 * 512 * 2048 + 2 * 512);
const HEAD = 2 * (1000 * 512 + 512);
const STATE = 4 * 100 * 512 * 2;
/** Of as many rows as there are positions. */
const ROWS = 1000 * 100;

/** Every op of every block, in order, exactly once: slices of one count together. */
function covers(plan: Plan, model: Model): void {
  const blocks = [...model.layers, model.head];
  let next = { block: 0, op: 0 };
  for (const [i, { index, block, part }] of plan.segments.entries()) {
    expect(index).toBe(i);
    if (part.slice !== undefined && part.slice.from > 0) continue;
    expect({ block, op: part.from }).toEqual(next);
    next = part.to === blocks[block]!.graph.ops.length ? { block: block + 1, op: 0 } : { block, op: part.to };
  }
  expect(next).toEqual({ block: blocks.length, op: 0 });
}

describe('a plan with a device', () => {
  const model = laidOut(LLAMA);

  test('gives it the last blocks that fit whole, and the host the rest', () => {
    const bytes = ROWS + HEAD + 3 * (LAYER + STATE);
    const plan = planResidency(model, { ...HOST, device: grant(bytes, 'resident') });
    const { device } = plan;
    expect(device!.computes).toEqual([...Array(7).fill(false), ...Array(4).fill(true)]);
    expect(device!.resident).toEqual(plan.segments.map(({ block }) => block >= 7));
    expect(device!.bytes).toEqual({
      weights: HEAD + 3 * LAYER,
      staging: 0,
      state: 3 * STATE,
      activations: ROWS,
      total: bytes,
      limit: bytes,
    });
    expect(device!.uploadedBytes).toBe(0);
    covers(plan, model);
    const alone = planResidency(model, HOST);
    // What is on the device is neither pinned in memory nor counted there, states included.
    expect(plan.bytes.pinned).toBeLessThan(0.72 * alone.bytes.pinned);
    expect(plan.bytes.state).toBe(stateBytes({ layers: model.layers.slice(0, 7) }, 100, 512));
    const one = planResidency(model, { ...HOST, device: grant(bytes - 1, 'resident') }).device!;
    expect(one.computes.filter(Boolean)).toHaveLength(3);
  });

  test('leaves states and values to the host where a device holds weights alone', () => {
    const bytes = ROWS + HEAD + 3 * LAYER;
    const device = { ...grant(bytes, 'resident'), statesOnHost: true };
    const plan = planResidency(model, { ...HOST, device });
    expect(plan.device!.computes.filter(Boolean)).toHaveLength(4);
    expect(plan.device!.bytes).toMatchObject({ state: 3 * STATE, total: bytes });
    expect(plan.bytes.process).toBe(3 * STATE + ROWS);
    expect(planResidency(model, { ...HOST, device: { ...device, bytes: bytes - 1 } }).bytes.process).toBe(
      2 * STATE + ROWS,
    );
  });

  test('leaves all to the host where not even the head fits', () => {
    expect(planResidency(model, { ...HOST, device: grant(1000, 'resident') })).toEqual(planResidency(model, HOST));
  });

  test('computes all on it where that is asked for, uploading what it cannot hold', () => {
    const bytes = ROWS + 10 * STATE + 2 * LAYER + HEAD + 4 * LAYER + 100;
    const { device, ...plan } = planResidency(model, { ...HOST, device: grant(bytes, 'all') });
    expect(device!.computes.every(Boolean)).toBe(true);
    expect(device!.resident.filter(Boolean).length).toBeGreaterThanOrEqual(4);
    expect(device!.bytes.total).toBeLessThanOrEqual(bytes);
    // Pieces so small that what is under way takes little from what stays.
    expect(device!.bytes.weights).toBeGreaterThan((7 / 8) * 0.97 * (bytes - ROWS - 10 * STATE));
    expect(device!.bytes.total).toBeGreaterThan(bytes - device!.bytes.staging / 2);
    expect(device!.uploadedBytes).toBe(10 * LAYER + HEAD - device!.bytes.weights);
    expect(plan.bytes.state).toBe(0);
    const summary = summarisePlan({ ...plan, device });
    expect(summary.streamedStatic).toBe(summary.streamedPerPass);
    expect(summary.device!.blocks.computed).toHaveLength(11);
  });

  test('is predicted to read and upload what does not stay, at the speed of the slower', () => {
    const bytes = ROWS + 10 * STATE + 6 * LAYER + HEAD;
    const plan = planResidency(model, { ...HOST, memory: 30 * MIB, device: grant(bytes, 'all') });
    const speeds = {
      diskBytesPerSecond: 1e9,
      readSeconds: 0,
      dramBytesPerSecond: 1e9,
      flopsPerSecond: 1e12,
      callSeconds: 0,
      opSeconds: 0,
    };
    const device = { uploadBytesPerSecond: 1e8, bytesPerSecond: 1e11, flopsPerSecond: 1e13, callSeconds: 0 };
    const slow = predictPass(plan, model, { ...speeds, device });
    expect(slow.binds).toBe('bus');
    expect(slow.terms.bus).toBeCloseTo(plan.device!.uploadedBytes / 1e8, 2);
    const fast = predictPass(plan, model, { ...speeds, device: { ...device, uploadBytesPerSecond: 1e10 } });
    expect(fast.binds).toBe('disk');
    expect(fast.terms.disk).toBeCloseTo(plan.streamedBytes / 1e9, 5);
    expect(fast.seconds).toBeLessThan(1.3 * fast.terms.disk);
    const first = predictPass(plan, model, { ...speeds, device }, { first: true });
    expect(first.terms.bus).toBeCloseTo((10 * LAYER + HEAD) / 1e8, 2);
  });

  test('says how much it needs where that is not granted', () => {
    const ask = (bytes: number) => planResidency(model, { ...HOST, device: grant(bytes, 'all') });
    let floor = 0;
    try {
      ask(1 * MIB);
    } catch (error) {
      if (!BudgetError.isInstance(error)) throw error;
      expect(error.option).toBe('vram');
      floor = error.floor;
    }
    expect(floor).toBeLessThan(16_000 + 10 * STATE + 2 * LAYER);
    expect(ask(floor).device!.bytes.total).toBe(floor);
    expect(() => ask(floor - 1)).toThrow(BudgetError);
  });

  test('repeats a placement that was made before, its pieces too', () => {
    const first = planResidency(model, { ...HOST, device: grant(30 * MIB, [3, 4, 10]) });
    expect(first.device!.computes.flatMap((on, b) => (on ? [b] : []))).toEqual([3, 4, 10]);
    const { segmentBytes } = first.device!;
    const again = (bytes: number) =>
      planResidency(model, { ...HOST, device: { ...grant(bytes, [3, 4, 10]), segmentBytes } });
    const pieces = ({ segments }: Plan) => segments.flatMap(({ block, part }) => (block === 3 ? [part] : []));
    for (const bytes of [20 * MIB, 500 * MIB]) expect(pieces(again(bytes))).toEqual(pieces(first));
  });

  test('is cut smaller where the host has little memory', () => {
    const options = { ...HOST, readAlignment: 1, device: grant(500 * MIB, 'all') };
    const roomy = planResidency(model, options);
    const small = planResidency(model, { ...options, weightsMemory: 2 * MIB });
    expect(small.device!.segmentBytes).toBeLessThan(roomy.device!.segmentBytes);
    expect(small.bytes.ring).toBeLessThanOrEqual(2 * MIB);
    expect(small.device!.resident).not.toContain(false);
  });

  test('keeps within both memories, and loses no part of a model', () => {
    fc.assert(
      fc.property(
        tinyConfig.map((config) => laidOut(config)),
        fc.constantFrom<DeviceGrant['blocks']>('resident', 'all'),
        fc.integer({ min: 0, max: 4_000_000 }),
        fc.option(fc.integer({ min: 0, max: 4_000_000 })),
        (any, blocks, bytes, memory) => {
          const options = { ...HOST, device: grant(bytes, blocks), ...(memory !== null && { memory }) };
          let plan: Plan;
          try {
            plan = planResidency(any, options);
          } catch (error) {
            if (BudgetError.isInstance(error)) return;
            throw error;
          }
          covers(plan, any);
          if (memory !== null) expect(plan.bytes.total).toBeLessThanOrEqual(memory);
          const { device } = plan;
          if (device === null) return;
          const { weights, staging, state, activations, total } = device.bytes;
          expect(total).toBe(weights + staging + state + activations);
          expect(total).toBeLessThanOrEqual(bytes);
          for (const [i, segment] of plan.segments.entries()) {
            if (!device.resident[i]) continue;
            expect(device.computes[segment.block]).toBe(true);
            expect(plan.pinned[i]).toBe(false);
            expect(2 * segment.bytes).toBeLessThanOrEqual(plan.bytes.ring);
          }
        },
      ),
    );
  });
});
