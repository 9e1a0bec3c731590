import { expect, test } from 'vitest';
import { type MeasuredPass, PassCosts } from './pass-costs';

const resident = (rows: number, seconds: number): MeasuredPass => ({
  rows,
  seconds,
  waitSeconds: 0,
  computeSeconds: seconds,
  bytesRead: 0,
});

/** A machine that computes `base + perRow · rows` while the drive reads so many bytes at one a second. */
function measured(rows: readonly number[], { base, perRow, bytes }: { base: number; perRow: number; bytes: number }) {
  const costs = new PassCosts();
  for (const count of rows) {
    const computeSeconds = base + perRow * count;
    const seconds = Math.max(computeSeconds, bytes);
    costs.record({ rows: count, seconds, waitSeconds: seconds - computeSeconds, computeSeconds, bytesRead: bytes });
  }
  return costs;
}

test('knows nothing before a pass, and of the drive nothing until a pass waited for it', () => {
  expect(new PassCosts().seconds(4)).toBeUndefined();
  expect(new PassCosts().freeRows(100)).toBeUndefined();
  expect(new PassCosts().knows(1)).toBe(false);
  const costs = measured([4], { base: 1, perRow: 0.1, bytes: 0 });
  expect(costs.seconds(4)).toBeCloseTo(1.4);
  expect(costs.freeRows(100)).toBeUndefined();
  expect([3, 4, 5].map((rows) => costs.knows(rows))).toEqual([false, true, false]);
});

test('rows are free until arithmetic takes as long as the drive', () => {
  const costs = measured([1, 64, 512], { base: 1, perRow: 0.02, bytes: 10 });
  expect(costs.driveSeconds(64)).toBeCloseTo(10);
  expect(costs.freeRows(4096)).toBeGreaterThan(430);
  expect(costs.freeRows(4096)).toBeLessThanOrEqual(450);
  expect(costs.freeRows(100)).toBe(100);
  expect(costs.seconds(64)).toBeCloseTo(10);
  expect(costs.seconds(1024)).toBeCloseTo(21.48, 1);
  // The drive sets its time.
  expect(costs.knows(7)).toBe(true);
});

test('of a single width, further rows may be taken for cheap or for dear, and fewer cost the same', () => {
  const costs = measured([8], { base: 0, perRow: 0.1, bytes: 10.05 });
  expect(costs.computeSeconds(80, { unknown: 'dear' })).toBeCloseTo(8);
  expect(costs.computeSeconds(80)).toBeCloseTo(0.8 + 72 * 0.016);
  expect(costs.computeSeconds(1)).toBeCloseTo(0.8);
  expect(costs.freeRows(1000)).toBe(100);
});

test('between widths it goes evenly, and beyond them on', () => {
  const costs = new PassCosts();
  costs.record(resident(1, 1));
  costs.record(resident(9, 3));
  expect(costs.seconds(5)).toBeCloseTo(2);
  expect(costs.seconds(17)).toBeCloseTo(5);
});

test('disturbed passes among several do not count, and newer ones replace older ones', () => {
  const costs = new PassCosts();
  for (const seconds of [1.1, 1.2, 9, 3, 1]) costs.record(resident(1, seconds));
  expect(costs.seconds(1)).toBe(1.1);
  for (let i = 0; i < 5; i++) costs.record(resident(1, 4));
  expect(costs.seconds(1)).toBe(4);
});

test('a width that was measured long ago takes no more than wider ones did since', () => {
  const costs = new PassCosts();
  // While weights still came; then a wider one without that.
  costs.record(resident(1, 4));
  costs.record(resident(5, 1.5));
  expect(costs.seconds(1)).toBe(1.5);
  costs.record(resident(1, 1));
  expect(costs.seconds(1)).toBe(1);
  // A wider one from before says nothing about what was measured since.
  for (let i = 0; i < 5; i++) costs.record(resident(1, 3));
  expect(costs.seconds(1)).toBe(3);
});

test('a pass that is bound by arithmetic says what the drive takes at most', () => {
  const costs = measured([8], { base: 0, perRow: 0.1, bytes: 10 });
  for (let i = 0; i < 2; i++) {
    costs.record({ rows: 64, seconds: 6.4, waitSeconds: 0, computeSeconds: 6.4, bytesRead: 10 });
  }
  expect(costs.driveSeconds(64)).toBeCloseTo(6.4);
});

test('what is read decides where rows choose it, as experts are, and where states on disk grow', () => {
  const costs = new PassCosts();
  const pass = (rows: number, bytesRead: number) =>
    costs.record({
      rows,
      seconds: bytesRead,
      waitSeconds: 0.9 * bytesRead,
      computeSeconds: 0.1 * bytesRead,
      bytesRead,
    });
  pass(1, 1);
  pass(9, 5);
  expect([1, 5, 17].map((rows) => costs.seconds(rows))).toEqual([1, 3, 9]);
  for (let i = 0; i < 5; i++) pass(1, 2);
  expect(costs.seconds(1)).toBe(2);
});

test('rows without logits spare the head', () => {
  const costs = new PassCosts(0.5);
  costs.record(resident(1, 1));
  costs.record(resident(9, 9));
  costs.record({ ...resident(17, 9), logitRows: 1 });
  expect(costs.seconds(17, { logitRows: 1 })).toBeCloseTo(9);
  expect(costs.seconds(17)).toBeCloseTo(17);
  expect(costs.seconds(9)).toBeCloseTo(9);
});

test('rows beside others take a pass to a multiple of theirs, once it is known what they take alone', () => {
  const costs = new PassCosts();
  expect(costs.rowsBeside(1, 3, 512)).toBe(512);
  costs.record(resident(300, 31));
  expect(costs.rowsBeside(1, 3, 512)).toBe(0);
  costs.record(resident(1, 1.1));
  // 1 + 0.1 a row.
  const beside = costs.rowsBeside(1, 3, 512);
  expect(beside).toBeGreaterThanOrEqual(21);
  expect(beside).toBeLessThanOrEqual(22);
  expect(costs.rowsBeside(100, 3, 512)).toBeGreaterThan(200);
  expect(costs.rowsBeside(1, 3, 5)).toBe(5);
  // Nothing is known of further rows: at worst each costs as much as the first.
  const one = new PassCosts();
  one.record(resident(2, 1));
  expect(one.rowsBeside(2, 3, 512)).toBe(4);
});

test('where the drive sets the time, rows are beside others as long as it takes', () => {
  const costs = measured([1, 512], { base: 1, perRow: 0.02, bytes: 5 });
  expect(costs.rowsBeside(1, 3, 4096)).toBeCloseTo(699, -1);
});
