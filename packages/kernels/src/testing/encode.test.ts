import { expect, it } from 'vitest';
import { fromBf16, fromF16, toBf16, toF16 } from './encode';

it('keeps every finite float16 and bfloat16', () => {
  const patterns = Array.from({ length: 0x10000 }, (_, bits) => bits);
  const f16 = patterns.filter((bits) => (bits & 0x7c00) !== 0x7c00);
  const bf16 = patterns.filter((bits) => (bits & 0x7f80) !== 0x7f80);
  expect(f16.filter((bits) => toF16(fromF16(bits)) !== bits)).toEqual([]);
  expect(bf16.filter((bits) => toBf16(fromBf16(bits)) !== bits)).toEqual([]);
});

it('rounds to nearest, ties to even', () => {
  const step = 2 ** -10;
  expect(fromF16(toF16(1 + step / 2))).toBe(1);
  expect(fromF16(toF16(1 + 1.5 * step))).toBe(1 + 2 * step);
  expect(fromF16(toF16(1.9999))).toBe(2);
  expect(fromBf16(toBf16(1 + 2 ** -8))).toBe(1);
  expect(fromBf16(toBf16(1 + 3 * 2 ** -8))).toBe(1 + 2 ** -6);
});
