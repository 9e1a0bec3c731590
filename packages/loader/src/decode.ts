import type { DType } from './dtype';
import { dtypeBits } from './dtype';

/** Element values of any dtype without loss: integers in their own type, all small floats as float32. */
export type ElementArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/**
 * Exact values of `count` elements stored little-endian in `bytes`. BOOL as 0 and 1; C64 as re, im, re, im, …
 * The result is a copy, except that nothing is promised about it when `bytes` is mutated meanwhile.
 */
export function decodeElements(dtype: DType, bytes: Uint8Array, count: number): ElementArray {
  switch (dtype) {
    case 'F64':
      return new Float64Array(copied(bytes));
    case 'F32':
    case 'C64':
      return new Float32Array(copied(bytes));
    case 'I64':
      return new BigInt64Array(copied(bytes));
    case 'U64':
      return new BigUint64Array(copied(bytes));
    case 'I32':
      return new Int32Array(copied(bytes));
    case 'U32':
      return new Uint32Array(copied(bytes));
    case 'I16':
      return new Int16Array(copied(bytes));
    case 'U16':
      return new Uint16Array(copied(bytes));
    case 'I8':
      return new Int8Array(copied(bytes));
    case 'U8':
    case 'BOOL':
      return new Uint8Array(copied(bytes));
    case 'BF16':
      return decodeBf16(bytes);
    case 'F16':
      return decodeF16(bytes);
    default:
      return decodePacked(dtype, bytes, count);
  }
}

/** The same as float32: F64 and integers are rounded to the nearest. */
export function decodeToFloat32(dtype: DType, bytes: Uint8Array, count: number): Float32Array {
  const values = decodeElements(dtype, bytes, count);
  if (values instanceof Float32Array) return values;
  return values instanceof BigInt64Array || values instanceof BigUint64Array
    ? Float32Array.from(values, Number)
    : Float32Array.from(values);
}

/** A fresh ArrayBuffer: tensors start at any byte, typed arrays only at multiples of their element. */
function copied(bytes: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy.buffer;
}

function decodeBf16(bytes: Uint8Array): Float32Array {
  const stored = new Uint16Array(copied(bytes));
  const bits = new Uint32Array(stored.length);
  for (let i = 0; i < stored.length; i++) bits[i] = stored[i]! << 16;
  return new Float32Array(bits.buffer);
}

let f16Table: Float32Array | undefined;

function decodeF16(bytes: Uint8Array): Float32Array {
  f16Table ??= tableOf(16, 5, 10, 15, 'ieee');
  const stored = new Uint16Array(copied(bytes));
  const values = new Float32Array(stored.length);
  for (let i = 0; i < stored.length; i++) values[i] = f16Table[stored[i]!]!;
  return values;
}

/**
 * What the topmost exponent means. `ieee`: infinity and NaN. `fn`: finite numbers, only all ones is NaN (OCP E4M3).
 * `finite`: numbers only (OCP FP4, FP6). `fnuz`: numbers, and the pattern of -0 is the only NaN.
 */
type Specials = 'ieee' | 'fn' | 'finite' | 'fnuz';

/** Formats of up to 8 bits: [exponent bits, mantissa bits, bias, specials]. OCP OFP8 and MX 1.0; fnuz after AMD. */
const SMALL_FLOATS: Partial<Record<DType, readonly [number, number, number, Specials]>> = {
  F8_E4M3: [4, 3, 7, 'fn'],
  F8_E5M2: [5, 2, 15, 'ieee'],
  F8_E4M3FNUZ: [4, 3, 8, 'fnuz'],
  F8_E5M2FNUZ: [5, 2, 16, 'fnuz'],
  F6_E2M3: [2, 3, 1, 'finite'],
  F6_E3M2: [3, 2, 3, 'finite'],
  F4: [2, 1, 1, 'finite'],
};

const tables = new Map<DType, Float32Array>();

function smallFloatTable(dtype: DType): Float32Array {
  let table = tables.get(dtype);
  if (table === undefined) {
    const format = SMALL_FLOATS[dtype];
    // What is left is E8M0, a bare power of two.
    table = format === undefined ? scaleTable() : tableOf(dtypeBits(dtype), ...format);
    tables.set(dtype, table);
  }
  return table;
}

/** E8M0: 2^(e - 127), 255 is NaN. */
function scaleTable(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, e) => (e === 255 ? Number.NaN : 2 ** (e - 127)));
}

/** Value of every bit pattern of a small float. */
function tableOf(width: number, exponents: number, mantissas: number, bias: number, specials: Specials): Float32Array {
  return Float32Array.from({ length: 2 ** width }, (_, pattern) => {
    const sign = pattern >> (width - 1) === 1 ? -1 : 1;
    const exponent = (pattern >> mantissas) & (2 ** exponents - 1);
    const mantissa = pattern & (2 ** mantissas - 1);
    const top = exponent === 2 ** exponents - 1;
    if (specials === 'ieee' && top) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    if (specials === 'fn' && top && mantissa === 2 ** mantissas - 1) return Number.NaN;
    if (specials === 'fnuz' && pattern === 2 ** (width - 1)) return Number.NaN;
    const fraction = mantissa / 2 ** mantissas;
    return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
  });
}

/** Elements of up to 8 bits, the first in the lowest bits. */
function decodePacked(dtype: DType, bytes: Uint8Array, count: number): Float32Array {
  const table = smallFloatTable(dtype);
  const width = dtypeBits(dtype);
  const mask = 2 ** width - 1;
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const bit = i * width;
    const byte = Math.floor(bit / 8);
    const pair = bytes[byte]! | ((bytes[byte + 1] ?? 0) << 8);
    values[i] = table[(pair >> (bit % 8)) & mask]!;
  }
  return values;
}
