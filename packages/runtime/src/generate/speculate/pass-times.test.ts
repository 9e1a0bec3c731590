import { expect, test } from 'vitest';
import { PassTimes } from './pass-times';

const computed = (rows: number, seconds: number) => ({ rows, seconds, waitSeconds: 0 });

test('nothing is known before the first pass; disturbed passes among several do not count', () => {
  const times = new PassTimes();
  expect(times.seconds(1)).toBeUndefined();
  for (const seconds of [1.1, 1.2, 9, 3, 1]) times.add(computed(1, seconds));
  expect(times.seconds(1)).toBe(1.1);
});

test('between counts of rows that were timed it goes evenly, and beyond them on', () => {
  const times = new PassTimes();
  times.add(computed(1, 1));
  times.add(computed(9, 3));
  expect(times.seconds(5)).toBe(2);
  expect(times.seconds(17)).toBe(5);
  expect(times.isWaiting).toBe(false);
});

test('where the drive sets the time, rows cost nothing until computing takes as long', () => {
  const times = new PassTimes();
  times.add({ rows: 1, seconds: 10, waitSeconds: 9 });
  times.add({ rows: 5, seconds: 10, waitSeconds: 5 });
  expect(times.isWaiting).toBe(true);
  expect(times.seconds(1)).toBe(10);
  expect(times.seconds(10)).toBe(10);
  expect(times.seconds(17)).toBe(17);
});

test('where rows choose what is read for them, as experts are, the drive’s time grows with them', () => {
  const times = new PassTimes();
  times.add({ rows: 1, seconds: 1, waitSeconds: 0.9 });
  times.add({ rows: 9, seconds: 5, waitSeconds: 4.5 });
  expect(times.seconds(1)).toBe(1);
  expect(times.seconds(5)).toBe(3);
  expect(times.seconds(17)).toBe(9);
});
