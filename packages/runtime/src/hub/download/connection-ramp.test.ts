import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ConnectionRamp } from './connection-ramp';

// Steps are taken here, not by its own timer.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const signal = new AbortController().signal;
const STEP_MS = 200;

/** Steps at which so many bytes per second came, which may depend on how many connections there are. */
function counts(ramp: ConnectionRamp, steps: number, rate: (count: number) => number): number[] {
  return Array.from({ length: steps }, () => {
    ramp.received((rate(ramp.count) * STEP_MS) / 1000);
    ramp.step(STEP_MS);
    return ramp.count;
  });
}

test('a slow line gets all connections there may be', () => {
  expect(counts(new ConnectionRamp(8), 4, (count) => count * 10e6)).toEqual([4, 8, 8, 8]);
  expect(counts(new ConnectionRamp(5), 3, () => 0)).toEqual([4, 5, 5]);
  expect(counts(new ConnectionRamp(1), 2, () => 0)).toEqual([1, 1]);
});

test('on a quick line more are tried, and kept where they bring more', () => {
  expect(counts(new ConnectionRamp(8), 4, () => 900e6)).toEqual([4, 2, 2, 2]);
  expect(counts(new ConnectionRamp(8), 4, (count) => count * 160e6)).toEqual([4, 8, 8, 8]);
  expect(counts(new ConnectionRamp(8), 4, (count) => Math.min(4, count) * 200e6)).toEqual([4, 8, 4, 4]);
});

test('a line that was quick at first gets all of them once it is slow for a second', () => {
  const ramp = new ConnectionRamp(8);
  expect(counts(ramp, 3, () => 900e6)).toEqual([4, 2, 2]);
  expect(counts(ramp, 4, () => 100e6)).toEqual([2, 2, 2, 2]);
  expect(counts(ramp, 1, () => 900e6)).toEqual([2]);
  expect(counts(ramp, 7, () => 100e6)).toEqual([2, 2, 2, 2, 4, 8, 8]);
});

test('so many tasks run at once as there are connections', async () => {
  const ramp = new ConnectionRamp(8);
  const ends: (() => void)[] = [];
  const task = () => new Promise<void>((resolve) => ends.push(resolve));
  const runs = Array.from({ length: 6 }, () => ramp.run(task, 0, signal));
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  await turn();
  const begun = [ends.length];
  ramp.received(1e9);
  ramp.step(STEP_MS);
  await turn();
  begun.push(ends.length);
  // It brings no more: two go, and nobody follows the first two that end.
  ramp.received(1e9);
  ramp.step(STEP_MS);
  ends[0]?.();
  ends[1]?.();
  await turn();
  begun.push(ends.length);
  ends[2]?.();
  await turn();
  begun.push(ends.length);
  expect(begun).toEqual([2, 4, 4, 5]);
  for (const end of ends) end();
  await turn();
  for (const end of ends) end();
  await Promise.all(runs);
});
