import { expect, it } from 'vitest';
import { fromBf16, toBf16 } from '../testing/encode';
import { randomValues } from '../testing/random';
import { roundedToBf16 } from './bf16';

it('rounds to the nearest, ties to even', () => {
  const ulp = 2 ** -7;
  const tie = (odd: number) => 1 + odd * ulp + ulp / 2;
  const found = roundedToBf16(Float32Array.of(tie(0), tie(1), tie(0) + 2 ** -20, -tie(1), 0, -0));
  expect([...found]).toEqual([1, 1 + 2 * ulp, 1 + ulp, -1 - 2 * ulp, 0, -0]);
});

it('keeps what bf16 holds, infinities and NaN, and leaves its input alone', () => {
  const given = Float32Array.of(1.5, -3e38, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN);
  const found = roundedToBf16(given);
  expect(found[0]).toBe(1.5);
  expect(found[1]).toBe(fromBf16(toBf16(-3e38)));
  expect([...found.subarray(2)]).toEqual([...given.subarray(2)]);
  expect(given[1]).toBe(Math.fround(-3e38));
});

it('agrees with the encoder of the tests', () => {
  const values = randomValues('bf16', 1000);
  expect(roundedToBf16(values)).toEqual(values.map((value) => fromBf16(toBf16(value))));
});
