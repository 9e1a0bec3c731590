import { describe, expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { type PassSpeeds, predictPass } from './predict';
import { planResidency } from './residency';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const options = { processBytes: 100 * MIB, contextLength: 512, readAlignment: 4096 };
const speeds: PassSpeeds = {
  diskBytesPerSecond: 1e9,
  readSeconds: 0.0002,
  dramBytesPerSecond: 20e9,
  flopsPerSecond: 200e9,
  callSeconds: 0.00005,
  opSeconds: 0.000005,
};

describe('a dense model', () => {
  const model = buildModel({ model_type: 'llama' }, { dtype: 'BF16' });
  const embedding = model.tensors.get('model.embed_tokens.weight')!.byteLength;
  const weights = 2 * model.parameterCount - embedding;
  const at = (memory?: number) => planResidency(model, { ...options, ...(memory === undefined ? {} : { memory }) });

  test('with nothing resident the drive reads every weight but the embedding', () => {
    const plan = at(at().floor.memory);
    const { seconds, binds, streamedBytes, terms } = predictPass(plan, model, speeds);
    expect(binds).toBe('disk');
    expect(streamedBytes / weights).toBeCloseTo(1, 2);
    expect(terms.disk).toBeCloseTo(streamedBytes / 1e9);
    expect(seconds / terms.disk).toBeGreaterThan(0.999);
    expect(seconds / terms.disk).toBeLessThan(1.1);
  });

  test('memory that takes a tenth off takes a tenth off', () => {
    const half = predictPass(at(8 * GIB), model, speeds);
    expect(half.binds).toBe('disk');
    const more = predictPass(at(8 * GIB + half.memoryForTenth!), model, speeds);
    expect(more.seconds / half.seconds).toBeCloseTo(0.9, 2);
  });

  test('resident weights take the time of reading them from memory, and the steps', () => {
    const { seconds, binds, streamedBytes, terms, memoryForTenth } = predictPass(at(), model, speeds);
    expect(streamedBytes).toBe(0);
    expect(binds).toBe('dram');
    expect(terms.dram / (weights / 20e9)).toBeCloseTo(1, 2);
    expect(seconds).toBeCloseTo(terms.dram + terms.steps, 6);
    expect(memoryForTenth).toBeNull();
  });

  test('many rows take the time of arithmetic, and no longer than the drive where that is slower', () => {
    const resident = predictPass(at(), model, speeds, { rows: 512 });
    expect(resident.binds).toBe('flops');
    const head = model.head.weights.reduce((sum, tensor) => sum + tensor.byteLength, 0);
    expect(resident.terms.flops / ((512 * (weights - head)) / 200e9)).toBeCloseTo(1, 1);
    const streamed = predictPass(at(4 * GIB), model, speeds, { rows: 16 });
    expect(streamed.binds).toBe('disk');
    expect(streamed.seconds / predictPass(at(4 * GIB), model, speeds).seconds).toBeLessThan(1.02);
  });

  test('rows beyond the widest pass take more passes where nothing is pinned, the head being read in the last', () => {
    const plan = at(8 * GIB);
    const narrow = { ...plan, maxRows: 16, pinned: plan.pinned.map(() => false), bytes: { ...plan.bytes, pinned: 0 } };
    const one = predictPass(narrow, model, speeds, { rows: 16 });
    const three = predictPass(narrow, model, speeds, { rows: 40 });
    const head = model.head.weights.reduce((sum, tensor) => sum + tensor.byteLength, 0);
    expect(three.streamedBytes / (3 * one.streamedBytes - 2 * head)).toBeCloseTo(1, 3);
    expect(three.seconds / (3 * one.seconds)).toBeCloseTo(1, 1);
  });

  test('rows beyond the widest pass take one pass where pinned weights make room', () => {
    const plan = { ...at(8 * GIB), maxRows: 16 };
    const one = predictPass(plan, model, speeds, { rows: 16 });
    const wide = predictPass(plan, model, speeds, { rows: 40 });
    expect(wide.streamedBytes / one.streamedBytes).toBeLessThan(1.1);
    expect(wide.seconds / one.seconds).toBeLessThan(1.2);
  });

  test('the first pass also reads what will stay', () => {
    const first = predictPass(at(), model, speeds, { first: true });
    expect(first.streamedBytes).toBe(at().bytes.weights);
    expect(first.binds).toBe('disk');
    expect(first.seconds).toBeGreaterThan(weights / 1e9);
    expect(first.memoryForTenth).toBeNull();
  });

  test('positions that are attended to are read from memory', () => {
    const near = predictPass(at(), model, speeds);
    const far = predictPass(at(), model, speeds, { positions: 4096 });
    // 32 layers of keys and values, 4096 float32 each.
    const state = 2 * 32 * 4096 * 4096 * 4;
    expect(far.seconds - near.seconds).toBeCloseTo(state / 20e9, 4);
  });
});

describe('a model with routed experts', () => {
  const model = buildModel({ model_type: 'mixtral' }, { dtype: 'BF16' });
  const plan = planResidency(model, { ...options, memory: 16 * GIB });
  const expert = (3 * 4096 * 14_336 * 2) / 1e9;

  test('reads the chosen experts that no slot holds', () => {
    const { streamedBytes, binds, seconds, terms } = predictPass(plan, model, speeds);
    const parts = plan.segments.reduce((sum, segment) => sum + (segment.experts?.flat().length ?? 0), 0);
    const missing = 1 - plan.expertSlots.count / parts;
    expect(streamedBytes / 1e9 / (32 * 2 * expert * missing)).toBeCloseTo(1, 2);
    expect(binds).toBe('disk');
    expect(seconds).toBeGreaterThan(terms.disk);
  });

  test('memory that takes a tenth off takes a tenth off', () => {
    const { seconds, memoryForTenth } = predictPass(plan, model, speeds);
    const more = planResidency(model, { ...options, memory: 16 * GIB + memoryForTenth! });
    expect(predictPass(more, model, speeds).seconds / seconds).toBeCloseTo(0.9, 2);
  });

  test('many rows choose every expert, once', () => {
    const { streamedBytes } = predictPass(plan, model, speeds, { rows: 100, first: true });
    const pinned = plan.bytes.pinned / 1e9;
    expect((streamedBytes / 1e9 - pinned) / (32 * 8 * expert)).toBeCloseTo(1, 2);
  });
});
