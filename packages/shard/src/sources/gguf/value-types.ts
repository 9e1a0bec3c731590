/** Types of metadata values, by their number in the file. */
export const VALUE_TYPES = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const;

export type GgufValueType = (typeof VALUE_TYPES)[number];

/** Bytes of one value; a string's and an array's least. */
export const VALUE_BYTES: Readonly<Record<GgufValueType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  // The length.
  string: 8,
  // Type and count.
  array: 12,
  u64: 8,
  i64: 8,
  f64: 8,
};

export type NumberType = Exclude<GgufValueType, 'bool' | 'string' | 'array'>;

/** One metadata value. Integers beyond 2^53 are bigints. */
export type GgufValue =
  | { readonly type: NumberType; readonly value: number | bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | GgufArray;

/** An array that stays in the file until it is asked for: vocabularies have hundreds of thousands of strings. */
export interface GgufArray {
  readonly type: 'array';
  readonly of: GgufValueType;
  readonly count: number;
  readonly file: string;
  /** Of the first item, from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A number from its bytes. */
export function numberAt(type: NumberType, view: DataView, at: number): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at);
    case 'i8':
      return view.getInt8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'i16':
      return view.getInt16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 'i32':
      return view.getInt32(at, true);
    case 'f32':
      return view.getFloat32(at, true);
    case 'f64':
      return view.getFloat64(at, true);
    case 'u64':
      return small(view.getBigUint64(at, true));
    case 'i64':
      return small(view.getBigInt64(at, true));
  }
}

function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
