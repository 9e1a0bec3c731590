import { expect, test } from 'vitest';
import { coupledDraw } from './coupled-draw';
import { seededRandom } from './random';

const distribution = (...probabilities: number[]) => probabilities.map((probability, id) => ({ id, probability }));

test('draws follow the probabilities', () => {
  const probabilities = [0.45, 0.25, 0.15, 0.1, 0.04, 0.01];
  const random = seededRandom(7);
  const draws = 30_000;
  const counts = probabilities.map(() => 0);
  for (let i = 0; i < draws; i++) counts[coupledDraw(distribution(...probabilities), random.next())]!++;
  // Chi-square with 5 degrees of freedom: 20.5 is passed by chance once in a thousand seeds; the seed is fixed.
  const chi = probabilities.reduce((sum, p, i) => sum + (counts[i]! - p * draws) ** 2 / (p * draws), 0);
  expect(chi).toBeLessThan(20.5);
});

test('draws by neighbouring numbers have nothing to do with each other', () => {
  const pairs = Array.from({ length: 4 }, () => 0);
  const draws = 20_000;
  for (let i = 0; i < draws; i++) {
    const [a, b] = [0, 1].map((next) => coupledDraw(distribution(0.5, 0.5), (2 * i + next) / 2 ** 20));
    pairs[2 * a! + b!]!++;
  }
  const chi = pairs.reduce((sum, count) => sum + (count - draws / 4) ** 2 / (draws / 4), 0);
  expect(chi).toBeLessThan(16.3);
});

test('the order of tokens does not matter, and like distributions give like tokens', () => {
  const p = distribution(0.4, 0.35, 0.2, 0.05);
  const q = distribution(0.36, 0.39, 0.18, 0.07);
  const distance = 0.06;
  const random = seededRandom(3);
  const draws = 20_000;
  let same = 0;
  for (let i = 0; i < draws; i++) {
    const number = random.next();
    expect(coupledDraw([...p].reverse(), number)).toBe(coupledDraw(p, number));
    if (coupledDraw(p, number) === coupledDraw(q, number)) same++;
  }
  expect(same / draws).toBeGreaterThan((1 - distance) / (1 + distance) - 0.01);
});

test('a token without a rival is drawn by any number', () => {
  for (const number of [0, 2 ** -53, 0.5, 1 - 2 ** -53])
    expect(coupledDraw([{ id: 9, probability: 1 }], number)).toBe(9);
});
