import { expect, test } from 'vitest';
import { DTYPES, dtypeBits, elementCount, isDType, tensorBytes } from './dtype';
import { OptionError } from './errors';

test('bytes follow from dtype and shape', () => {
  expect(tensorBytes('F32', [2, 3])).toBe(24);
  expect(tensorBytes('C64', [3])).toBe(24);
  expect(tensorBytes('BOOL', [5])).toBe(5);
  expect(tensorBytes('F4', [3, 2])).toBe(3);
  expect(tensorBytes('F6_E2M3', [4])).toBe(3);
  expect(tensorBytes('F64', [])).toBe(8);
  expect(tensorBytes('I16', [4, 0, 3])).toBe(0);
  // The largest matrix of a 405B model, whose count is beyond 32 bits.
  expect(tensorBytes('BF16', [128_256, 16_384])).toBe(4_202_692_608);
});

test('packed elements that leave a byte half full are refused', () => {
  expect(() => tensorBytes('F4', [3])).toThrow(OptionError);
  expect(() => tensorBytes('F6_E3M2', [3])).toThrow(OptionError);
});

test('impossible shapes are refused', () => {
  for (const shape of [[-1], [1.5], [Number.NaN], [2 ** 53], [2 ** 40, 2 ** 40]]) {
    expect(() => elementCount(shape)).toThrow(OptionError);
  }
});

test('every dtype has a width, and nothing else is one', () => {
  expect(DTYPES).toHaveLength(22);
  for (const dtype of DTYPES) expect(dtypeBits(dtype)).toBeGreaterThanOrEqual(4);
  for (const name of ['f32', 'F33', '', '__proto__', 'constructor', undefined, 4]) expect(isDType(name)).toBe(false);
});
