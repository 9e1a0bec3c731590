import { describe, expect, test } from 'vitest';
import { laidOut } from '../testing/laid-out';
import { ringForDrives } from './drives';
import { planResidency } from './residency';
import type { Segment } from './types';

const MIB = 2 ** 20;

const segments = (files: readonly string[]): Segment[] =>
  files.map((file, index) => {
    const weights = [{ weight: 0, extent: { file, offset: 0, length: MIB } }];
    return { index, block: 0, part: { from: index, to: index + 1 }, weights, bytes: MIB };
  });
/** By the first letter of the file's name. */
const driveOf = (file: string) => file.charCodeAt(0);

describe('ringForDrives', () => {
  test('holds a run on either drive, and what is being computed', () => {
    expect(ringForDrives(segments(['a1', 'a1', 'a2', 'b1', 'b1', 'a3']), driveOf, 1)).toBe((2 * 3 + 2) * MIB);
    expect(ringForDrives(segments(['a1', 'a1', 'b1', 'b1']), driveOf, 0.5)).toBe((2 + 2) * MIB);
  });

  test('is nothing special for one drive', () => {
    expect(ringForDrives(segments(['a1', 'a2', 'a3']), driveOf, 1)).toBe(0);
  });
});

test('a plan for two drives has a ring for both where that takes a fair share', () => {
  const config = {
    model_type: 'llama',
    vocab_size: 32_000,
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 8,
    num_key_value_heads: 8,
  };
  const layerOf = (name: string) => Number(/layers\.(\d+)\./.exec(name)?.[1] ?? 0);
  const layered = laidOut(config, (name) => String(layerOf(name)));
  const options = { processBytes: 0, contextLength: 64, readAlignment: 1, weightsMemory: 400 * MIB };
  const one = planResidency(layered, options);
  expect(planResidency(layered, { ...options, driveOf: () => 7 })).toEqual(one);
  const byLayer = planResidency(layered, { ...options, driveOf: (file) => Number(file) % 2 });
  expect(byLayer.bytes.ring).toBeGreaterThan(one.bytes.ring);
  expect(byLayer.bytes.pinned + byLayer.bytes.ring).toBeLessThanOrEqual(400 * MIB);
  // Shards of a third of the model each: no ring could hold two.
  const inThirds = planResidency(layered, { ...options, driveOf: (file) => Math.floor(Number(file) / 8) % 2 });
  expect(inThirds.bytes.ring).toBe(one.bytes.ring);
});
