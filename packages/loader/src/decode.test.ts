import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeElements, decodeToFloat32 } from './decode';
import type { DType } from './dtype';
import { openSafetensors } from './safetensors/open-safetensors';
import { shared, sharedAvailable } from './testing/shared';

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

function values(dtype: DType, bytes: number[], count: number): number[] {
  return Array.from(decodeElements(dtype, Uint8Array.from(bytes), count), Number);
}

describe('formats without an example in the wild', () => {
  test('F4 is E2M1, the first element in the low half of a byte (OCP MX 1.0)', () => {
    expect(values('F4', [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe], 16)).toEqual([
      0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6,
    ]);
  });

  test('F6 lies in 6 bits, the first element in the lowest', () => {
    // 0b000001, 0b011111, 0b100000, 0b001000 packed from the lowest bit on.
    const packed = [0b11_000001, 0b0000_0111, 0b001000_10];
    expect(values('F6_E2M3', packed, 4)).toEqual([0.125, 7.5, -0, 1]);
    expect(values('F6_E3M2', packed, 4)).toEqual([0.0625, 28, -0, 0.5]);
  });

  test('FNUZ types have no infinity, no minus zero, and one NaN', () => {
    expect(values('F8_E4M3FNUZ', [0x00, 0x01, 0x7f, 0xff, 0x80, 0x40], 6)).toEqual([0, 2 ** -10, 240, -240, nan, 1]);
    expect(values('F8_E5M2FNUZ', [0x00, 0x01, 0x7f, 0xff, 0x80, 0x40], 6)).toEqual([
      0,
      2 ** -17,
      57344,
      -57344,
      nan,
      1,
    ]);
  });

  test('C64 gives real and imaginary parts in turn', () => {
    const bytes = new Uint8Array(new Float32Array([1, -2, 0.5, 4]).buffer);
    expect([...decodeElements('C64', bytes, 2)]).toEqual([1, -2, 0.5, 4]);
  });
});

test('integers become float32 by rounding', () => {
  const bytes = new Uint8Array(new BigInt64Array([9007199254740993n, -3n]).buffer);
  expect([...decodeToFloat32('I64', bytes, 2)]).toEqual([9007199254740992, -3]);
  expect([...decodeToFloat32('BOOL', Uint8Array.of(0, 1), 2)]).toEqual([0, 1]);
});

test('a tensor at any byte address decodes', () => {
  const memory = new Uint8Array(16);
  new DataView(memory.buffer).setFloat64(3, Math.PI, true);
  expect([...decodeElements('F64', memory.subarray(3, 11), 1)]).toEqual([Math.PI]);
});

describe.skipIf(!sharedAvailable)('every value of st-dtypes', async () => {
  if (!sharedAvailable) return;
  interface Expected {
    dtype: DType;
    shape: number[];
    values: string[];
  }
  const expected = JSON.parse(readFileSync(shared('golden-quant/st-dtypes/expected.json'), 'utf8')) as Record<
    string,
    Expected
  >;
  const file = await openSafetensors(shared('golden-quant/st-dtypes/dtypes.safetensors'));

  test('the tensors are all there', () => {
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(expected).sort());
  });

  test.each(Object.entries(expected))('%s', async (name, { dtype, shape, values: texts }) => {
    const meta = file.tensors.get(name)!;
    expect([meta.dtype, meta.shape]).toEqual([dtype, shape]);
    const tensor = await meta.materialize();
    const found = tensor.toElements();
    const floats = tensor.toFloat32();
    tensor.dispose();
    expect(found).toHaveLength(texts.length);
    for (const [i, text] of texts.entries()) {
      const exact = parseValue(text, dtype);
      expect(found[i], `${name}[${i}]`).toBe(exact);
      expect(floats[i], `${name}[${i}] as float32`).toBe(Math.fround(Number(exact)));
    }
  });
});

/** Decimal integers, Python's booleans, and floats in C's hexadecimal notation. */
function parseValue(text: string, dtype: DType): number | bigint {
  if (dtype === 'BOOL') return text === 'True' ? 1 : 0;
  if (dtype === 'I64' || dtype === 'U64') return BigInt(text);
  if (/^[IU]/.test(dtype)) return Number(text);
  if (/nan$/.test(text)) return nan;
  if (/inf$/.test(text)) return text.startsWith('-') ? -inf : inf;
  const [, sign, whole, fraction, exponent] = /^(-?)0x([01])\.([0-9a-f]*)p([+-]\d+)$/.exec(text)!;
  const mantissa = Number.parseInt(whole!, 16) + Number.parseInt(fraction!, 16) / 16 ** fraction!.length;
  return (sign === '-' ? -1 : 1) * mantissa * 2 ** Number(exponent);
}
