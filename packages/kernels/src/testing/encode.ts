/** Formats that weights are tested in. */
export type TestDType = 'F32' | 'F16' | 'BF16';

/** Little-endian bytes of values in a format, rounded to nearest even. */
export function encode(values: Float32Array, dtype: TestDType): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.slice().buffer);
  return new Uint8Array(Uint16Array.from(values, dtype === 'F16' ? toF16 : toBf16).buffer);
}

/** The values that {@link encode} keeps. */
export function rounded(values: Float32Array, dtype: TestDType): Float32Array {
  if (dtype === 'F32') return values;
  return values.map((value) => (dtype === 'F16' ? fromF16(toF16(value)) : fromBf16(toBf16(value))));
}

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

export function toBf16(value: number): number {
  float[0] = value;
  return ((bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromBf16(half: number): number {
  bits[0] = half << 16;
  return float[0]!;
}

/** For finite values below 65520. */
export function toF16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size === 0) return sign;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  // In units of the last place; a carry into the next exponent is what addition to the bits makes of it.
  const units = roundToEven(size / 2 ** (exponent - 10));
  return sign + (exponent === -14 ? units : ((exponent + 15) << 10) + units - 1024);
}

export function fromF16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function roundToEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
