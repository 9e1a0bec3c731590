import { decodeToFloat32 } from '@airllm/loader';
import { expect, it } from 'vitest';
import { bf16ToHalf, floatsToHalf, toHalf } from './half';

const decoded = (halves: Uint16Array) => decodeToFloat32('F16', new Uint8Array(halves.buffer), halves.length);
const bf16 = (values: readonly number[]) =>
  Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16);

it('rounds to the nearest float16, ties to even', () => {
  const values = decoded(Uint16Array.from({ length: 2 ** 15 - 2 ** 10 }, (_, bits) => bits));
  const wrong = [...values.keys()].slice(0, -1).filter((n) => {
    const exact = toHalf(values[n]!) === n && toHalf(-values[n]!) === (n | 0x8000);
    return !exact || toHalf((values[n]! + values[n + 1]!) / 2) !== (n % 2 === 0 ? n : n + 1);
  });
  expect(wrong).toEqual([]);
  expect([65504, 65519, 65520, Infinity, NaN].map(toHalf)).toEqual([0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7e00]);
});

it('keeps bf16 that float16 can hold, and refuses the rest', () => {
  const kept = [1.5, -0.0078125, 65024, 0];
  expect([...decoded(bf16ToHalf(bf16(kept))!)]).toEqual(kept);
  expect([...decoded(bf16ToHalf(bf16([2, 0.5, -3]))!)]).toEqual([2, 0.5, -3]);
  expect(bf16ToHalf(bf16([0, 0, -0]))).toBeDefined();
  for (const refused of [
    [1, 66000],
    [1, 1, -1e30],
    [Number.NaN, 1],
    [2 ** -12, 2 ** -20, 0],
  ]) {
    expect(bf16ToHalf(bf16(refused))).toBeUndefined();
    expect(floatsToHalf(Float32Array.from(refused))).toBeUndefined();
  }
});
