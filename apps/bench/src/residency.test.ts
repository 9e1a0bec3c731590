import { expect, test } from 'vitest';
import { idealSeconds } from './residency';

test('the ideal is bound by the drive until the weights fit, then by memory', () => {
  const facts = { weights: 10e9, drive: 1e9, memory: 20e9 };
  expect(idealSeconds({ ...facts, budget: 2e9 })).toBe(8);
  expect(idealSeconds({ ...facts, budget: 12e9 })).toBe(0.5);
});
