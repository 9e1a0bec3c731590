import type { KvCacheDType } from '../graph/graph';

/** Largest magnitude of a stored int8; −128 is never used. */
const INT8_MAX = 127;

/** The items of a block in stored form. */
export type KvItems = Float32Array | Uint16Array | Int8Array;

export function viewItems(dtype: KvCacheDType, memory: Float32Array, items: number): KvItems {
  const { buffer, byteOffset } = memory;
  if (dtype === 'float32') return new Float32Array(buffer, byteOffset, items);
  return dtype === 'bfloat16' ? new Uint16Array(buffer, byteOffset, items) : new Int8Array(buffer, byteOffset, items);
}

/** Where a vector's items are: the first one's index, and how far apart they lie. */
export interface Place {
  readonly at: number;
  readonly stride: number;
}

/**
 * Stores a vector. bfloat16 rounds to nearest even, so each item is off by at most 2⁻⁸ of itself. int8 has one scale for
 * the vector, its largest magnitude / 127, returned here: each item is off by at most half of it.
 */
export function encodeVector(dtype: KvCacheDType, x: Float32Array, items: KvItems, { at, stride }: Place): number {
  if (dtype === 'int8') return encodeInt8(x, items, { at, stride });
  if (dtype === 'float32') for (let i = 0; i < x.length; i++) items[at + i * stride] = x[i]!;
  else {
    const bits = new Uint32Array(x.buffer, x.byteOffset, x.length);
    for (let i = 0; i < x.length; i++) items[at + i * stride] = toBf16(bits[i]!);
  }
  return 1;
}

export function decodeVector(
  dtype: KvCacheDType,
  items: KvItems,
  { at, stride }: Place,
  scale: number,
  to: Float32Array,
): void {
  if (dtype === 'bfloat16') {
    const bits = new Uint32Array(to.buffer, to.byteOffset, to.length);
    for (let i = 0; i < to.length; i++) bits[i] = items[at + i * stride]! << 16;
  } else for (let i = 0; i < to.length; i++) to[i] = items[at + i * stride]! * scale;
}

/** Every step rounded to float32, as the other executors do it. */
function encodeInt8(x: Float32Array, items: KvItems, { at, stride }: Place): number {
  let largest = 0;
  // Math.max keeps NaN, which must not be stored as a number.
  for (let i = 0; i < x.length; i++) largest = Math.max(largest, Math.abs(x[i]!));
  const scale = Math.fround(largest / INT8_MAX);
  const unit = scale === 0 ? 1 : scale;
  for (let i = 0; i < x.length; i++) {
    const whole = roundToEven(Math.fround(x[i]! / unit));
    items[at + i * stride] = Math.max(-INT8_MAX, Math.min(INT8_MAX, whole));
  }
  return scale;
}

function roundToEven(x: number): number {
  const down = Math.floor(x);
  const over = x - down;
  if (over !== 0.5) return over < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

function toBf16(bits: number): number {
  const nan = (bits & 0x7fffffff) > 0x7f800000;
  return nan ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
