import { expect, test } from 'vitest';
import { KeptRows } from './kept-rows';

test('keeps the rows wanted last', () => {
  const kept = new KeptRows(3);
  expect(kept.find(7)).toBeUndefined();
  expect([7, 8, 9].map((row) => kept.add(row))).toEqual([0, 1, 2]);
  // 7 is wanted again, so 8 makes place.
  expect(kept.find(7)).toBe(0);
  expect(kept.add(5)).toBe(1);
  expect([5, 7, 8, 9].map((row) => kept.find(row))).toEqual([1, 0, undefined, 2]);
  expect(kept.add(8)).toBe(1);
});
