import { decodeToFloat32 } from '@airllm/loader';
import { expect, it } from 'vitest';
import { bf16ToHalf, fitsHalf, floatsToHalf, toHalf } from './half';

const decoded = (halves: Uint16Array) => decodeToFloat32('F16', new Uint8Array(halves.buffer), halves.length);
const bits = (values: readonly number[]) => new Uint32Array(Float32Array.from(values).buffer);
const rounded = (value: number) => toHalf(bits([value])[0]!);
const bf16 = (values: readonly number[]) => Uint16Array.from(bits(values), (each) => each >>> 16);

it('rounds to the nearest float16, ties to even', () => {
  const values = decoded(Uint16Array.from({ length: 2 ** 15 - 2 ** 10 }, (_, pattern) => pattern));
  const wrong = [...values.keys()].slice(0, -1).filter((n) => {
    const exact = rounded(values[n]!) === n && rounded(-values[n]!) === (n | 0x8000);
    return !exact || rounded((values[n]! + values[n + 1]!) / 2) !== (n % 2 === 0 ? n : n + 1);
  });
  expect(wrong).toEqual([]);
  expect([65504, 65519, 65520, Infinity, NaN].map(rounded)).toEqual([0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7e00]);
});

function ofBf16(values: readonly number[]) {
  const halves = new Uint16Array(values.length);
  return { largest: bf16ToHalf(bf16(values), halves), values: [...decoded(halves)] };
}

it('says of bf16 and float32 what float16 would lose', () => {
  const kept = [1.5, -0.0078125, 65024, 0];
  expect(ofBf16(kept).values).toEqual(kept);
  expect(ofBf16([2, 0.5, -3]).values).toEqual([2, 0.5, -3]);
  for (const [values, fits] of [
    [kept, true],
    [[0, 0, -0], true],
    [[1, 66000], false],
    [[1, 1, -1e30], false],
    [[Number.NaN, 1], false],
    [[1, Number.NEGATIVE_INFINITY], false],
    [[2 ** -12, 2 ** -20, 0], false],
    [[2 ** -40, 0], false],
  ] as const) {
    expect([values, fitsHalf(ofBf16(values).largest)]).toEqual([values, fits]);
    expect([values, fitsHalf(floatsToHalf(Float32Array.from(values), new Uint16Array(values.length)))]).toEqual([
      values,
      fits,
    ]);
  }
});
