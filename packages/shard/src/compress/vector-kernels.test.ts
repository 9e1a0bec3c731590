import { expect, test } from 'vitest';
import { BLOCK, NF4 } from './kinds';
import { tableOf, vectorKernels } from './vector-kernels';

const kernels = vectorKernels();
const { buffer } = kernels.memory;
const [WEIGHTS, IMPORTANCES, RESULT, TABLE, CODES, NIBBLES] = [0, 256, 512, 576, 1024, 1152];
const at = (place: number, count: number) => new Float32Array(buffer, place, count);

/** Some that are halfway between codes, at both ends and beyond them. */
const weights = Float32Array.from({ length: BLOCK }, (_, i) =>
  i % 4 === 0 ? (i - 32) / 4 + 0.5 : Math.sin(i * 7) * 9,
);
const importances = Float32Array.from({ length: BLOCK }, (_, i) => 1 + (i % 5));
at(WEIGHTS, BLOCK).set(weights);
at(IMPORTANCES, BLOCK).set(importances);
at(TABLE, 31).set(tableOf(NF4));

function toEven(value: number): number {
  const low = Math.floor(value);
  const up = value - low > 0.5 || (value - low === 0.5 && low % 2 !== 0);
  return up ? low + 1 : low;
}

const integer = (value: number, low: number, high: number) => Math.min(high, Math.max(low, toEven(value)));

function nearestOf(value: number): number {
  let best = 0;
  for (let i = 1; i < 16; i++) if (Math.abs(NF4[i]! - value) < Math.abs(NF4[best]! - value)) best = i;
  return best;
}

const sum = (term: (weight: number, importance: number) => number) =>
  weights.reduce((total, weight, i) => total + term(weight, importances[i]!), 0);

test('range finds the extremes around 0, and a NaN', () => {
  expect(kernels.range(WEIGHTS, RESULT)).toBeCloseTo(
    sum((weight) => weight * weight),
    2,
  );
  expect(Math.min(...at(RESULT, 4))).toBe(Math.min(...weights));
  expect(Math.max(...at(RESULT + 16, 4))).toBe(Math.max(...weights));
  at(CODES, BLOCK).fill(3);
  at(CODES, BLOCK)[17] = Number.NaN;
  expect(kernels.range(CODES, RESULT)).toBe(Number.NaN);
  at(CODES, BLOCK)[17] = Number.NEGATIVE_INFINITY;
  expect(kernels.range(CODES, RESULT)).toBe(Number.POSITIVE_INFINITY);
});

test('squares and importances', () => {
  expect(kernels.squares(WEIGHTS, 0.5)).toBeCloseTo(
    sum((weight) => weight * weight * 0.25),
    3,
  );
  kernels.importances(WEIGHTS, 0.5, CODES);
  for (const [i, weight] of weights.entries()) {
    expect(at(CODES, BLOCK)[i]).toBeCloseTo(Math.sqrt(1 + (weight * 0.5) ** 2), 5);
  }
});

test.each([
  [1, -127, 127, 0],
  [0.7, -8, 7, 8],
  [1.3, -3, 12, 3],
])('integers: times %f, from %i to %i', (inverse, low, high, zero) => {
  const factor = Math.fround(inverse);
  const codes = [...weights].map((weight) => integer(Math.fround(weight * factor), low, high));
  const error = sum((weight, importance) => importance * (integer(weight * factor, low, high) - weight * factor) ** 2);
  expect(kernels.integerError(WEIGHTS, IMPORTANCES, inverse, low, high)).toBeCloseTo(error, 3);
  kernels.integerFit(WEIGHTS, IMPORTANCES, inverse, low, high, RESULT);
  const [product, square] = at(RESULT, 2);
  expect(product).toBeCloseTo(
    sum((weight, importance) => importance * integer(weight * factor, low, high) * weight * factor),
    1,
  );
  expect(square).toBe(sum((weight, importance) => importance * integer(weight * factor, low, high) ** 2));
  const plain = sum((weight) => (integer(weight * factor, low, high) - weight * factor) ** 2);
  expect(kernels.integerCodes(WEIGHTS, inverse, low, high, zero, CODES)).toBeCloseTo(plain, 3);
  expect([...new Int8Array(buffer, CODES, BLOCK)]).toEqual(codes.map((code) => code + zero));
});

test('the nearest of 16 numbers', () => {
  const inverse = 1 / 8;
  const codes = [...weights].map((weight) => nearestOf(weight * inverse));
  const error = sum((weight, importance) => importance * (NF4[nearestOf(weight * inverse)]! - weight * inverse) ** 2);
  expect(kernels.tableError(WEIGHTS, IMPORTANCES, inverse, TABLE)).toBeCloseTo(error, 5);
  kernels.tableFit(WEIGHTS, IMPORTANCES, inverse, TABLE, RESULT);
  const fit = sum((weight, importance) => importance * NF4[nearestOf(weight * inverse)]! * weight * inverse);
  expect(at(RESULT, 1)[0]).toBeCloseTo(fit, 4);
  kernels.tableCodes(WEIGHTS, inverse, TABLE, CODES);
  expect([...new Uint8Array(buffer, CODES, BLOCK)]).toEqual(codes);
  kernels.nibbles(CODES, NIBBLES);
  const bytes = Array.from({ length: 32 }, (_, i) => codes[2 * i]! | (codes[2 * i + 1]! << 4));
  expect([...new Uint8Array(buffer, NIBBLES, 32)]).toEqual(bytes);
});

test('bfloat16 widens', () => {
  const stored = new Uint16Array(buffer, CODES, BLOCK);
  for (let i = 0; i < BLOCK; i++) stored[i] = (i * 1021) & 0xffff;
  const expected = Float32Array.from(new Float32Array(Uint32Array.from(stored, (bits) => bits << 16).buffer));
  kernels.widen(CODES, 2048);
  expect(Buffer.from(at(2048, BLOCK).slice().buffer).equals(Buffer.from(expected.buffer))).toBe(true);
});
