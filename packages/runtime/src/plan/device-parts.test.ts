import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Model } from '../models/model';
import { laidOut } from '../testing/laid-out';
import { haveShared, shared } from '../testing/shared';
import { predictPass } from './predict';
import { planResidency } from './residency';
import { LARGEST_SEGMENT } from './segment-sizes';
import { worstPartBytes } from './segments';
import { summarisePlan } from './summary';
import type { DeviceGrant, Plan } from './types';

const GB = 1e9;
const HOST = { processBytes: 0, contextLength: 2048, readAlignment: 4096 };
const SPEEDS = {
  diskBytesPerSecond: 2e9,
  readSeconds: 0,
  dramBytesPerSecond: 20e9,
  flopsPerSecond: 1e12,
  callSeconds: 0,
  opSeconds: 0,
  device: { uploadBytesPerSecond: 10e9, bytesPerSecond: 2e11, flopsPerSecond: 1e13, callSeconds: 0 },
};

/** Weights in two bytes each, which may turn out to need four. */
function grant(bytes: number, blocks: DeviceGrant['blocks'] = 'all'): DeviceGrant {
  return {
    name: 'test',
    bytes,
    blocks,
    uploadBytes: (graph, part) => worstPartBytes(graph, part, 1),
    mostUploadBytes: (graph, part) => 2 * worstPartBytes(graph, part, 1),
    stateBytes: (spec, length) => 4 * length * spec.kvHeads * (spec.keyDim + spec.valueDim),
    activationBytes: (passes) => 200_000 * Math.max(...passes.map(({ maxRows }) => maxRows)),
    transferBytes: () => ({ device: 64 * 2 ** 20, host: 256 * 2 ** 20 }),
  };
}

function config(name: string): object {
  const { quantization_config: _, ...rest } = JSON.parse(readFileSync(shared(`giants/${name}/config.json`), 'utf8'));
  return rest;
}

/** Every op once, in order, and of each matrix that is cut all rows. */
function coversAll({ segments }: Plan, { layers, head }: Model): void {
  const blocks = [...layers, head];
  let at = { block: 0, op: 0, row: 0 };
  for (const [i, { index, block, part }] of segments.entries()) {
    expect(index).toBe(i);
    expect({ block, op: part.from, row: part.slice?.from ?? 0 }).toEqual(at);
    const { ops, weights } = blocks[block]!.graph;
    const op = ops[part.from]!;
    if (part.slice !== undefined && op.op === 'linear' && part.slice.to < weights[op.weight]!.shape[0]!) {
      at = { ...at, row: part.slice.to };
    } else {
      at = part.to === ops.length ? { block: block + 1, op: 0, row: 0 } : { block, op: part.to, row: 0 };
    }
  }
  expect(at).toEqual({ block: blocks.length, op: 0, row: 0 });
}

describe.skipIf(!haveShared())('a 70B whose blocks are larger than what a device has left', () => {
  const model = laidOut(config('lzlv_70b-llama2'));
  const at = (memory: number, vram = 4 * GB) => planResidency(model, { ...HOST, memory, device: grant(vram) });
  const plan = at(16 * GB);
  const device = plan.device!;

  test('keeps parts of them, and of the head, as many as find room', () => {
    coversAll(plan, model);
    expect(device.bytes.total).toBeLessThanOrEqual(4 * GB);
    expect(device.bytes.total).toBeGreaterThan(4 * GB - LARGEST_SEGMENT);
    const kept = plan.segments.filter((_, i) => device.resident[i]);
    const bytes = kept.reduce((sum, each) => sum + each.weights.reduce((all, { extent }) => all + extent.length, 0), 0);
    expect(device.bytes.weights).toBe(bytes);
    expect(device.uploadedBytes + bytes).toBeCloseTo(plan.bytes.weights, -9);
    const head = plan.segments.filter(({ block }) => block === model.layers.length);
    const staying = head.filter(({ index }) => device.resident[index]).length;
    expect(staying).toBeGreaterThan(0);
    expect(staying).toBeLessThan(head.length);
    const summary = summarisePlan(plan).device!;
    expect(summary.blocks.resident).toEqual([]);
    expect(summary.segments).toEqual({ count: plan.segments.length, resident: kept.length });
  });

  test('spreads them evenly', () => {
    const total = plan.segments.reduce((sum, { bytes }) => sum + bytes, 0);
    const all = plan.segments.reduce((sum, { bytes }, i) => sum + (device.resident[i] ? bytes : 0), 0);
    let passed = 0;
    let kept = 0;
    for (const [i, { bytes }] of plan.segments.entries()) {
      passed += bytes;
      if (device.resident[i]) kept += bytes;
      expect(Math.abs(kept - (all / total) * passed)).toBeLessThan(2 * LARGEST_SEGMENT);
    }
  });

  test('leaves the others to the host, which neither pins nor streams what stays', () => {
    const brought = plan.segments.filter((_, i) => !device.resident[i] && !plan.pinned[i]);
    expect(plan.streamedBytes).toBe(brought.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(plan.segments.some((_, i) => device.resident[i] && plan.pinned[i])).toBe(false);
    expect(plan.bytes.total).toBeLessThanOrEqual(16 * GB);
    expect(plan.bytes.pinned).toBeGreaterThan(14 * GB);
    const { terms } = predictPass(plan, model, SPEEDS);
    expect(terms.disk).toBeCloseTo(plan.streamedBytes / 2e9, 5);
    expect(terms.bus).toBeCloseTo(device.uploadedBytes / 10e9, 2);
  });

  test('is cut and placed alike whatever memory the host has', () => {
    for (const memory of [2 * GB, 200 * GB]) {
      const other = at(memory);
      expect(other.device).toEqual(device);
      expect(other.segments.map(({ part }) => part)).toEqual(plan.segments.map(({ part }) => part));
    }
  });

  test('keeps more in more memory, at last all', () => {
    const kept = [4, 8, 40, 160].map((vram) => at(16 * GB, vram * GB).device!.bytes.weights);
    expect(kept).toEqual([...kept].sort((a, b) => a - b));
    expect(at(16 * GB, 160 * GB).device!.resident).not.toContain(false);
  });
});

test.skipIf(!haveShared())('of a model with experts a device keeps all but those', () => {
  const model = laidOut(config('Mixtral-8x7B-v0.1'));
  const plan = planResidency(model, { ...HOST, memory: 16 * GB, device: grant(6 * GB) });
  coversAll(plan, model);
  const own = plan.segments.map(({ experts }) => experts === undefined);
  expect(plan.device!.resident).toEqual(own);
  expect(plan.device!.uploadedBytes).toBe(0);
  expect(plan.bytes.experts).toBeGreaterThan(10 * GB);
});

test.skipIf(!haveShared())('the host has no room set aside for what it does not compute', () => {
  const model = laidOut(config('lzlv_70b-llama2'));
  const alone = planResidency(model, { ...HOST, memory: 16 * GB });
  const { bytes, maxRows } = planResidency(model, { ...HOST, memory: 16 * GB, device: grant(4 * GB) });
  expect(maxRows).toBe(alone.maxRows);
  expect(bytes.state).toBe(0);
  // Values that blocks hand on, and embedding rows.
  expect(bytes.activations).toBeLessThan(0.3 * alone.bytes.activations);
});
