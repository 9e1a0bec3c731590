import { describe, expect, test } from 'vitest';
import { Slots } from './download/slots';
import { WritePace } from './download/write-pace';
import { retryAfterMs } from './http/retry';
import { ProgressMeter } from './progress';
import { nearestNames } from './repo/nearest';
import type { PullProgress } from './types';

test('the nearest names are what a slip of the fingers meant', () => {
  const names = ['meta-llama/Llama-3.1-8B', 'meta-llama/Llama-3.1-70B', 'Qwen/Qwen3-8B', 'google/gemma-3-4b-it'];
  expect(nearestNames('meta-llama/Lama-3.1-8B', names)[0]).toBe('meta-llama/Llama-3.1-8B');
  expect(nearestNames('qwen/qwen3-8b', names)).toEqual(['Qwen/Qwen3-8B']);
  expect(nearestNames('google/gemma-3-4b', names)).toEqual(['google/gemma-3-4b-it']);
  expect(nearestNames('Llama-3.1-70B', names)[0]).toBe('meta-llama/Llama-3.1-70B');
  expect(nearestNames('mistralai/Mixtral-8x7B', names)).toEqual([]);
});

test('Retry-After is seconds or a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(retryAfterMs('2', now)).toBe(2000);
  expect(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
  expect(retryAfterMs('Thu, 01 Jan 1970 00:00:30 GMT', now)).toBe(0);
  expect(retryAfterMs('soon', now)).toBeUndefined();
  expect(retryAfterMs(undefined, now)).toBeUndefined();
});

describe('slots', () => {
  test('go to the smallest rank, and to equals in turn', async () => {
    const slots = new Slots(1);
    const order: string[] = [];
    const task = (name: string) => async () => {
      order.push(name);
      await new Promise((resolve) => setImmediate(resolve));
    };
    await Promise.all([
      slots.run(task('first'), 9),
      slots.run(task('c'), 2),
      slots.run(task('a'), 1),
      slots.run(task('b'), 1),
    ]);
    expect(order).toEqual(['first', 'a', 'b', 'c']);
  });

  test('are given back by tasks that fail, and by those that no longer wait', async () => {
    const slots = new Slots(1);
    const controller = new AbortController();
    const failing = slots.run(() => Promise.reject(new Error('no')));
    const aborted = slots.run(async () => {}, 0, controller.signal);
    controller.abort(new Error('enough'));
    await expect(failing).rejects.toThrow('no');
    await expect(aborted).rejects.toThrow('enough');
    expect(await slots.run(async () => 'yes')).toBe('yes');
  });
});

test('progress is told ten times a second, with the rate of the last seconds', () => {
  let now = 0;
  const events: PullProgress[] = [];
  const meter = new ProgressMeter(
    { repo: 'a/b', commit: 'c' },
    (event) => events.push(event),
    () => now,
  );
  let done = 0;
  const count = () => {
    const file = {
      file: 'x',
      fileBytesDone: done,
      fileBytesTotal: 40_000,
      bytesAtStart: 0,
      filesDone: 0,
      filesTotal: 1,
    };
    return { ...file, bytesDone: done, bytesTotal: 40_000 };
  };
  for (; now < 20_000; now += 10) {
    // A network that becomes ten times slower.
    const bytes = now < 10_000 ? 10 : 1;
    meter.add(bytes);
    done += bytes;
    meter.report(count);
  }
  expect(events.length).toBeGreaterThan(190);
  expect(events.length).toBeLessThanOrEqual(200);
  // Nothing is foretold from the first moments.
  expect(events[3]?.secondsLeft).toBeUndefined();
  expect(events[50]?.bytesPerSecond).toBeCloseTo(1000, -1);
  expect(events.at(-1)?.bytesPerSecond).toBeCloseTo(100, -1);
  expect(events.at(-1)?.secondsLeft).toBeCloseTo((40_000 - done) / 100, -1);
  expect(meter.received).toBe(done);
  meter.stop();
});

test('the last news before a pause is told', async () => {
  const events: number[] = [];
  const meter = new ProgressMeter(
    { repo: 'a/b', commit: 'c' },
    ({ bytesDone }) => events.push(bytesDone),
    () => 0,
  );
  for (const bytesDone of [1, 2, 3]) {
    const file = {
      file: 'x',
      fileBytesDone: bytesDone,
      fileBytesTotal: 9,
      bytesAtStart: 0,
      filesDone: 0,
      filesTotal: 1,
    };
    meter.report(() => ({ ...file, bytesDone, bytesTotal: 9 }));
  }
  await expect.poll(() => events).toHaveLength(2);
  expect(events[0]).toBe(1);
});

test('bytes are written at once while that is quick, and again only after a while if it was not', () => {
  const pace = new WritePace();
  const quick = (times: number) => {
    for (let i = 0; i < times; i++) pace.took(0.1);
  };
  expect(pace.atOnce).toBe(false);
  quick(8);
  expect(pace.atOnce).toBe(true);
  // One that was late says nothing, two in a row, or one that took very long, do.
  for (const ms of [50, 0.1, 50]) pace.took(ms);
  expect(pace.atOnce).toBe(true);
  pace.took(50);
  expect(pace.atOnce).toBe(false);
  quick(8);
  expect(pace.atOnce).toBe(false);
  quick(8);
  expect(pace.atOnce).toBe(true);
  pace.took(200);
  expect(pace.atOnce).toBe(false);
});
