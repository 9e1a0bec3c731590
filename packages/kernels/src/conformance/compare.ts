import { expect } from 'vitest';

/** Largest difference over the expected row's largest magnitude (at least 1); NaN where one is not a number. */
export function rowError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let size = 1;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    size = Math.max(size, Math.abs(expected[i]!));
    difference = Math.max(difference, Math.abs(found[i]! - expected[i]!));
  }
  return difference / size;
}

/** Fails unless both hold the same bytes, naming the first that differs. */
export function expectSameBytes(found: Float32Array, expected: Float32Array, what: string): void {
  const a = new Int32Array(found.buffer, found.byteOffset, found.length);
  const b = new Int32Array(expected.buffer, expected.byteOffset, expected.length);
  const i = a.findIndex((bits, n) => bits !== b[n]);
  expect(found.length, what).toBe(expected.length);
  if (i >= 0) expect.fail(`${what}: element ${i} is ${found[i]}, expected the same bytes as ${expected[i]}`);
}
