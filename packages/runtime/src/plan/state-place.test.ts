import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { BudgetError } from '../errors';
import { buildModel } from '../models/registry';
import { laidOut } from '../testing/laid-out';
import { haveShared, shared } from '../testing/shared';
import { predictPass } from './predict';
import { planResidency } from './residency';
import { stateBytes } from './state-bytes';
import { diskBytesByLayer, streamedState } from './state-place';
import type { PlanOptions } from './types';

const MIB = 2 ** 20;
const LLAMA = {
  model_type: 'llama',
  hidden_size: 512,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  intermediate_size: 1024,
  num_hidden_layers: 12,
  vocab_size: 1000,
};
const model = laidOut(LLAMA);
/** 32768 positions of two vectors of 512 floats. */
const LAYER = 32768 * 2 * 512 * 4;
const options: PlanOptions = {
  processBytes: 0,
  contextLength: 32768,
  readAlignment: 4096,
  statePlace: 'auto',
  stateDir: '/states',
};
const SPEEDS = {
  diskBytesPerSecond: 1e9,
  readSeconds: 0,
  dramBytesPerSecond: 1e12,
  flopsPerSecond: 1e15,
  callSeconds: 0,
  opSeconds: 0,
};

test('states stay in memory while it has room for them', () => {
  const plan = planResidency(model, options);
  expect(plan.diskState).toBeNull();
  expect(plan.bytes.state).toBe(12 * LAYER);
  expect(planResidency(model, { ...options, memory: plan.bytes.total }).diskState).toBeNull();
});

test('and leave it for two regions where it has none', () => {
  const plan = planResidency(model, { ...options, memory: 600 * MIB });
  const threadBytes = plan.diskState!.threadBytes;
  expect(plan.diskState).toEqual({
    dir: '/states',
    positions: 32768,
    bytes: 12 * LAYER,
    regionBytes: LAYER,
    regions: 2,
    threadBytes,
  });
  expect(plan.bytes.state).toBe(2 * LAYER + threadBytes);
  expect(plan.bytes.total).toBeLessThanOrEqual(600 * MIB);
  expect(planResidency(model, { ...options, statePlace: 'disk' }).bytes.state).toBe(plan.bytes.state);
});

test('a pass that would be narrow sends them away too', () => {
  const inMemory = (memory: number) => planResidency(model, { ...options, statePlace: 'memory', memory });
  const floor = inMemory(2 ** 40).floor.memory;
  expect(inMemory(floor).maxRows).toBe(16);
  const plan = planResidency(model, { ...options, memory: floor });
  expect(plan.diskState).not.toBeNull();
  expect(plan.maxRows).toBe(512);
});

test('the refusal names what would be enough', () => {
  const ask = (memory: number) => planResidency(model, { ...options, memory });
  try {
    ask(MIB);
    expect.unreachable();
  } catch (error) {
    if (!BudgetError.isInstance(error)) throw error;
    expect(error.floor).toBeLessThan(400 * MIB);
    expect(ask(error.floor).diskState).not.toBeNull();
  }
});

test('layers with a window stay, and a model of such layers alone has nothing to send away', () => {
  const gemma = { ...LLAMA, model_type: 'gemma3_text', head_dim: 64, sliding_window: 512, sliding_window_pattern: 3 };
  const mixed = buildModel(gemma, { dtype: 'BF16' });
  const plan = planResidency(mixed, { ...options, statePlace: 'disk' });
  expect(diskBytesByLayer(mixed, 32768).filter((bytes) => bytes > 0)).toHaveLength(4);
  const kept = 8 * ((512 + 512) / 32 + 1) * 32 * 2 * 512 * 4;
  expect(plan.bytes.state).toBe(2 * LAYER + plan.diskState!.threadBytes + kept);
  const windowed = buildModel({ ...LLAMA, model_type: 'mistral', sliding_window: 512 }, { dtype: 'BF16' });
  expect(planResidency(windowed, { ...options, statePlace: 'disk' }).diskState).toBeNull();
});

test('a prediction reads them with the weights', () => {
  const plan = planResidency(model, { ...options, memory: 600 * MIB });
  const at = (positions: number) => predictPass(plan, model, SPEEDS, { positions });
  expect(at(0).streamedBytes).toBe(plan.streamedBytes);
  expect(at(32768).streamedBytes).toBe(plan.streamedBytes + 12 * LAYER);
  expect(at(32768).binds).toBe('disk');
  expect(at(32768).seconds).toBeGreaterThan((12 * LAYER) / 1e9);
  expect(at(32768).memoryForTenth).toBe(stateBytes(model, 32769, 512) - plan.bytes.state);
});

test('a step reads what the passes before stored', () => {
  const each = 12 * 32 * 2 * 512 * 4;
  expect(streamedState(model, 128, 128, 32)).toBe((0 + 1 + 2 + 3) * each);
  expect(streamedState(model, 128, 128, 64)).toBe((0 + 2) * each);
  expect(streamedState(model, 129, 1, 64)).toBe(4 * each);
});

test('a folder is needed', () => {
  expect(() => planResidency(model, { ...options, stateDir: undefined })).toThrow(/stateDir/);
  expect(() => planResidency(model, { ...options, statePlace: 'moon' as 'disk' })).toThrow(/statePlace/);
});

describe.skipIf(!haveShared())('a 70B at 32k tokens', () => {
  const config = JSON.parse(readFileSync(shared('giants/lzlv_70b-llama2/config.json'), 'utf8'));

  test.each(['float32', 'bfloat16', 'int8'] as const)('is planned within 4 GB, its states in %s', (kvCacheDtype) => {
    const large = buildModel(config, { dtype: 'BF16' }, { kvCacheDtype });
    const memory = 4e9;
    const plan = planResidency(large, { ...options, memory, processBytes: 250 * MIB });
    expect(plan.bytes.total).toBeLessThanOrEqual(memory);
    const layers = diskBytesByLayer(large, 32768);
    expect(plan.diskState!.bytes).toBe(80 * layers[0]!);
    expect(plan.diskState!.bytes).toBeGreaterThan(memory);
    expect(plan.bytes.state).toBeLessThan(600e6);
    expect(plan.maxRows).toBeGreaterThanOrEqual(512);
    const token = predictPass(plan, large, SPEEDS, { positions: 32767 });
    expect(token.streamedBytes).toBe(plan.streamedBytes + plan.diskState!.bytes);
    // The whole prompt in few passes, although each but the first reads what those before it stored.
    const prompt = predictPass(plan, large, SPEEDS, { rows: 32768 });
    expect(prompt.streamedBytes).toBeLessThan(0.5 * (32768 / 512) * plan.streamedBytes);
  });
});
