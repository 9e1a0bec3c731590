import { expect, test } from 'vitest';
import { PassCosts } from './pass-costs';

/** A machine that computes `base + perRow · rows` while the drive takes its time. */
function measured(rows: readonly number[], { base, perRow, drive }: { base: number; perRow: number; drive: number }) {
  const costs = new PassCosts();
  for (const count of rows) {
    const computeSeconds = base + perRow * count;
    const seconds = Math.max(computeSeconds, drive);
    costs.record({ rows: count, seconds, waitSeconds: seconds - computeSeconds, computeSeconds });
  }
  return costs;
}

test('knows nothing before a pass, and of the drive nothing until a pass waited for it', () => {
  expect(new PassCosts().seconds(4)).toBeUndefined();
  expect(new PassCosts().freeRows(100)).toBeUndefined();
  const costs = measured([4], { base: 1, perRow: 0.1, drive: 0 });
  expect(costs.seconds(4)).toBeCloseTo(1.4);
  expect(costs.freeRows(100)).toBeUndefined();
});

test('rows are free until arithmetic takes as long as the drive', () => {
  const costs = measured([1, 64, 512], { base: 1, perRow: 0.02, drive: 10 });
  expect(costs.driveSeconds).toBeCloseTo(10);
  expect(costs.freeRows(4096)).toBeGreaterThan(430);
  expect(costs.freeRows(4096)).toBeLessThanOrEqual(450);
  expect(costs.freeRows(100)).toBe(100);
  expect(costs.seconds(64)).toBeCloseTo(10);
  expect(costs.seconds(1024)).toBeCloseTo(21.48, 1);
});

test('a single width tells the rest as if all time came with rows, and fewer rows as if none did', () => {
  const costs = measured([8], { base: 0, perRow: 0.1, drive: 10 });
  expect(costs.computeSeconds(80)).toBeCloseTo(8);
  expect(costs.computeSeconds(1)).toBeCloseTo(0.8);
  expect(costs.freeRows(1000)).toBe(100);
});

test('a pass that is bound by arithmetic says what the drive takes at most', () => {
  const costs = measured([8], { base: 0, perRow: 0.1, drive: 10 });
  costs.record({ rows: 64, seconds: 6.4, waitSeconds: 0, computeSeconds: 6.4 });
  expect(costs.driveSeconds).toBeCloseTo(6.4);
});

test('newer passes count more', () => {
  const costs = new PassCosts();
  for (const drive of [10, ...Array.from({ length: 20 }, () => 4)]) {
    costs.record({ rows: 1, seconds: drive, waitSeconds: drive - 1, computeSeconds: 1 });
  }
  expect(costs.driveSeconds).toBeCloseTo(4, 1);
});
