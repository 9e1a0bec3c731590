import { expect, test } from 'vitest';
import type { Plan, Segment } from './types';
import { keptPinned, type StepFacts, widestPass } from './wide-pass';

const GB = 1e9;

/** 10 GB in segments of 1 GB, every other one pinned, and room for 512 rows. */
function plan(changes: Partial<Plan['bytes']> = {}): Plan {
  const segments = Array.from({ length: 10 }, (_, index): Segment => {
    return { index, block: 0, part: { from: index, to: index + 1 }, weights: [], bytes: GB };
  });
  const bytes = {
    weights: 10 * GB,
    pinned: 5 * GB,
    ring: GB,
    experts: 0,
    state: 0,
    activations: 0,
    process: 0,
    staging: 0,
    draft: 0,
    total: 0,
  };
  return {
    segments,
    pinned: segments.map(({ index }) => index % 2 === 0),
    maxRows: 512,
    logitRows: 16,
    passLogitRows: 16,
    bytes: { ...bytes, ...changes },
    expertSlots: { count: 0, bytes: 0 },
    streamedBytes: 5 * GB,
    diskState: null,
    floor: { memory: 0, weightsMemory: 0 },
    device: null,
  };
}

const step = (count: number, changes: Partial<StepFacts> = {}): StepFacts => ({
  count,
  passes: (rows) => Math.ceil(count / rows),
  activations: (rows) => rows * 200_000,
  fits: () => true,
  ...changes,
});

test('one pass where pinned weights can make room for it', () => {
  expect(widestPass(plan(), step(4096))).toEqual({ rows: 4096, lent: 4096 * 200_000 });
  // 8 of 5 GB would be 40; this is 5 + 2 · 0.82.
  expect(widestPass(plan(), step(512))).toEqual({ rows: 512, lent: 0 });
});

test('as few as fit otherwise', () => {
  expect(widestPass(plan({ pinned: 0.5 * GB }), step(4096))).toEqual({ rows: 2048, lent: 2048 * 200_000 });
  expect(widestPass(plan(), step(4096, { fits: (rows) => rows < 2000 }))).toEqual({ rows: 1366, lent: 1366 * 200_000 });
});

test('the plan as it is where wide passes would read more, or nothing is read, or there is no ring', () => {
  const greedy = step(600, { activations: (rows) => rows * 8e6 });
  expect(widestPass(plan(), greedy)).toEqual({ rows: 512, lent: 0 });
  expect(widestPass({ ...plan(), streamedBytes: 0 }, step(4096)).lent).toBe(0);
  expect(widestPass(plan({ ring: 0 }), step(4096)).lent).toBe(0);
});

test('the last pinned segments give way', () => {
  expect(keptPinned(plan(), 1.5 * GB)).toEqual([true, false, true, false, true, false, false, false, false, false]);
  expect(keptPinned(plan(), 0)).toEqual(plan().pinned);
});

test('states on disk are read by every pass: fewer passes read less of them', () => {
  // Wide passes would read as many weights as narrow ones, and a little more.
  const greedy = step(600, { activations: (rows) => rows * 5e6 });
  expect(widestPass(plan(), greedy)).toEqual({ rows: 512, lent: 0 });
  const onDisk = { ...greedy, streamedState: (rows: number) => (rows < 600 ? 4 * GB : 0) };
  expect(widestPass(plan(), onDisk)).toEqual({ rows: 600, lent: 600 * 5e6 });
});
