import { expect, test } from 'vitest';
import { bestLength, expectedTokens } from './best-length';

test('expected tokens are the mean of how far drafts get', () => {
  expect(expectedTokens(0.5, 0)).toBe(1);
  expect(expectedTokens(0.5, 2)).toBe(1.75);
  expect(expectedTokens(1, 7)).toBe(8);
});

test('where rows are free as many as possible are drafted; where each costs a pass, none', () => {
  const facts = { most: 15, acceptance: 0.6, draftSeconds: 0 };
  expect(bestLength({ ...facts, passSeconds: () => 3 })).toBe(15);
  expect(bestLength({ ...facts, passSeconds: (drafted) => 1 + drafted })).toBe(0);
});

test('drafting takes time too', () => {
  const facts = { most: 15, acceptance: 0.8, passSeconds: () => 1 };
  const lengths = [0, 0.05, 0.2, 0.5, 0.9].map((draftSeconds) => bestLength({ ...facts, draftSeconds }));
  expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
  expect(lengths[0]).toBe(15);
  expect(lengths[2]).toBeGreaterThan(1);
  expect(lengths.at(-1)).toBe(0);
});

test('drafts that are never right are not made, even for nothing', () => {
  expect(bestLength({ most: 15, acceptance: 0, draftSeconds: 0, passSeconds: () => 1 })).toBe(0);
});
