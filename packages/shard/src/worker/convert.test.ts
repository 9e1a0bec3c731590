import type { DType } from '@airllm/loader';
import { expect, test } from 'vitest';
import { FloatConverter } from './convert';

function convert(from: DType, to: DType, input: Uint8Array): { bytes: Uint8Array; overflow: unknown } {
  const parts: Uint8Array[] = [];
  const overflow = new FloatConverter(from, to).convert(input, (bytes) => parts.push(bytes.slice()));
  return { bytes: new Uint8Array(Buffer.concat(parts)), overflow };
}

const bytesOf = (array: Float32Array | Uint16Array | Uint32Array) => new Uint8Array(array.buffer.slice(0));
const toHalves = (from: DType, to: DType, values: Float32Array) =>
  new Uint16Array(convert(from, to, bytesOf(values)).bytes.buffer);

/** The value of a 16-bit float, by the definition. */
function meaningOf(bits: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >>> mantissaBits;
  const mantissa = bits & (2 ** mantissaBits - 1);
  if (exponent === 2 ** exponentBits - 1) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + mantissa / 2 ** mantissaBits) * 2 ** (exponent - bias);
}

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);

test.each([
  ['F16', 5],
  ['BF16', 8],
] as const)('every %s widens exactly and comes back', (dtype, exponentBits) => {
  const wide = convert(dtype, 'F32', bytesOf(ALL));
  const floats = new Float32Array(wide.bytes.buffer);
  const back = new Uint16Array(convert('F32', dtype, wide.bytes).bytes.buffer);
  const isRight = (bits: number) =>
    Object.is(floats[bits], meaningOf(bits, exponentBits)) &&
    (Number.isNaN(floats[bits]) ? Number.isNaN(meaningOf(back[bits]!, exponentBits)) : back[bits] === bits);
  expect([...ALL].filter((bits) => !isRight(bits))).toEqual([]);
});

test.each([
  ['F16', 5, 0x7bff],
  ['BF16', 8, 0x7f7f],
] as const)('%s: halfway goes to even, and anything else to the nearest', (dtype, exponentBits, largest) => {
  const inputs: number[] = [];
  const expected: number[] = [];
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let low = 0; low < largest; low += low < 1100 ? 1 : 13) {
    // Exact in float32: it has at least 13 bits more.
    const middle = (meaningOf(low, exponentBits) + meaningOf(low + 1, exponentBits)) / 2;
    float[0] = middle;
    expect(float[0]).toBe(middle);
    inputs.push(middle);
    expected.push(low % 2 === 0 ? low : low + 1);
    for (const step of [-1, 1]) {
      float[0] = middle;
      bits[0]! += step;
      inputs.push(float[0]!, -float[0]!);
      expected.push(low + (step > 0 ? 1 : 0), (low + (step > 0 ? 1 : 0)) | 0x8000);
    }
  }
  expect([...toHalves('F32', dtype, Float32Array.from(inputs))]).toEqual(expected);
});

test('the largest float16 stays, and the first finite value that would become infinite is reported', () => {
  const values = Float32Array.of(1, 65504, 65519.99, Number.POSITIVE_INFINITY, -65520, 1e30);
  const { overflow } = convert('F32', 'F16', bytesOf(values));
  expect(overflow).toEqual({ index: 4, value: -65520 });
  expect([...toHalves('F32', 'F16', values.slice(0, 4))]).toEqual([0x3c00, 0x7bff, 0x7bff, 0x7c00]);
  expect(convert('F32', 'BF16', bytesOf(Float32Array.of(3.4e38))).overflow).toEqual({
    index: 0,
    value: Math.fround(3.4e38),
  });
});

test('an index counts over all blocks, and unaligned input is read', () => {
  const values = new Float32Array(200_000);
  values[150_001] = 1e9;
  const unaligned = new Uint8Array(values.byteLength + 3);
  unaligned.set(bytesOf(values), 3);
  expect(convert('F32', 'F16', unaligned.subarray(3)).overflow).toEqual({ index: 150_001, value: 1e9 });
});

test('bfloat16 becomes float16 through float32', () => {
  expect(convert('BF16', 'F16', bytesOf(Uint16Array.of(0x3f80, 0xc000))).bytes).toEqual(
    bytesOf(Uint16Array.of(0x3c00, 0xc000)),
  );
});
