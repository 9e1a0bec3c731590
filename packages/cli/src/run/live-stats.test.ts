import type { Plan } from '@airllm/runtime';
import { expect, test } from 'vitest';
import { SpanTally, statsLine } from './live-stats';

test('rates of what ended since the last look', () => {
  const tally = new SpanTally(1000);
  tally.add({ track: 'read', name: 'a', start: 900, end: 1500, bytes: 3e9 });
  tally.add({ track: 'wait', name: 'a', start: 1100, end: 1500 });
  tally.add({ track: 'compute', name: 'a', start: 1500, end: 1600 });
  tally.add({ track: 'pass', name: 'pass 1', start: 1100, end: 1600, rows: 1 });
  const first = tally.take(2000)!;
  expect(first).toEqual({ tokensPerSecond: 2, bytesPerSecond: 3e9, waitShare: 0.4 });
  tally.add({ track: 'compute', name: 'a', start: 2000, end: 2100 });
  // The pass goes on: its rate is still that of the one before.
  expect(tally.take(3000)).toEqual({ tokensPerSecond: 2, bytesPerSecond: 0, waitShare: 0 });
  tally.add({ track: 'read', name: 'b', start: 3100, end: 3200, bytes: 5 });
  expect(tally.take(4000)).toBeUndefined();
});

test('a token’s time counts sampling, and not the pause before a question', () => {
  const tally = new SpanTally(0);
  const pass = (start: number, end: number) => tally.add({ track: 'pass', name: 'pass', start, end, rows: 1 });
  const compute = () => tally.add({ track: 'compute', name: 'a', start: 0, end: 1 });
  pass(0, 100);
  pass(150, 250);
  compute();
  expect(tally.take(300)!.tokensPerSecond).toBeCloseTo(2 / 0.25);
  pass(60_000, 60_400);
  compute();
  expect(tally.take(61_000)!.tokensPerSecond).toBeCloseTo(1 / 0.5);
});

test('waiting longer than the time between two looks is all of it', () => {
  const tally = new SpanTally(0);
  tally.add({ track: 'wait', name: 'a', start: 0, end: 2500 });
  tally.add({ track: 'compute', name: 'a', start: 2500, end: 2600 });
  expect(tally.take(1000)!.waitShare).toBe(1);
});

test('the line', () => {
  const plan = { bytes: { weights: 200, pinned: 40, experts: 10 } } as Plan;
  const figures = { tokensPerSecond: 1.234, bytesPerSecond: 2.5e9, waitShare: 0.876 };
  expect(statsLine(figures, plan)).toBe('1.23 tokens/s · 2.50 GB/s · 88 % waiting for the drive · 25 % resident');
});
