import { writeFileSync } from 'node:fs';
import { type GgufValueType, VALUE_BYTES, VALUE_TYPES } from '../sources/gguf/value-types';

/** A metadata value to write: its type, and for arrays the type of the items. */
export type TestValue =
  | { readonly type: Exclude<GgufValueType, 'array'>; readonly value: number | bigint | boolean | string }
  | { readonly type: 'array'; readonly of: GgufValueType; readonly value: readonly (number | string | TestValue)[] };

export interface TestTensor {
  readonly name: string;
  /** ggml's number of the type. */
  readonly type: number;
  /** Fastest first, as in the file. */
  readonly dimensions: readonly number[];
  readonly bytes: Uint8Array;
}

export interface TestGguf {
  readonly metadata?: Readonly<Record<string, TestValue>>;
  readonly tensors?: readonly TestTensor[];
  readonly version?: number;
  readonly alignment?: number;
}

/** Bytes of a GGUF file, as ggml lays it out. */
export function ggufBytes({ metadata = {}, tensors = [], version = 3, alignment = 32 }: TestGguf): Uint8Array {
  const header = [text('GGUF'), u32(version), u64(tensors.length), u64(Object.keys(metadata).length)];
  for (const [key, value] of Object.entries(metadata)) header.push(string(key), typed(value));
  let offset = 0;
  for (const { name, type, dimensions, bytes } of tensors) {
    header.push(string(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset));
    offset += Math.ceil(bytes.byteLength / alignment) * alignment;
  }
  const parts = [padded(Buffer.concat(header), alignment)];
  for (const { bytes } of tensors) parts.push(padded(bytes, alignment));
  return Buffer.concat(parts);
}

export function writeGguf(path: string, gguf: TestGguf): string {
  writeFileSync(path, ggufBytes(gguf));
  return path;
}

/** Shorthand for a string value. */
export const str = (value: string): TestValue => ({ type: 'string', value });
export const uint = (value: number): TestValue => ({ type: 'u32', value });
export const float = (value: number): TestValue => ({ type: 'f32', value });
export const bool = (value: boolean): TestValue => ({ type: 'bool', value });
export const strings = (value: readonly string[]): TestValue => ({ type: 'array', of: 'string', value });
export const ints = (value: readonly number[]): TestValue => ({ type: 'array', of: 'i32', value });
export const floats = (value: readonly number[]): TestValue => ({ type: 'array', of: 'f32', value });

function typed(value: TestValue): Buffer {
  return Buffer.concat([u32(VALUE_TYPES.indexOf(value.type)), content(value)]);
}

function content(value: TestValue): Buffer {
  if (value.type !== 'array') return scalar(value.type, value.value);
  const items = value.value.map((item) =>
    typeof item === 'object' ? content(item) : scalar(value.of as Exclude<GgufValueType, 'array'>, item),
  );
  // An inner array has its type and count before its items, and no type of its own.
  return Buffer.concat([u32(VALUE_TYPES.indexOf(value.of)), u64(value.value.length), ...items]);
}

function scalar(type: Exclude<GgufValueType, 'array'>, value: number | bigint | boolean | string): Buffer {
  if (type === 'string') return string(String(value));
  const bytes = Buffer.alloc(VALUE_BYTES[type]);
  if (type === 'u64') bytes.writeBigUInt64LE(BigInt(value));
  else if (type === 'i64') bytes.writeBigInt64LE(BigInt(value));
  else if (type === 'f32') bytes.writeFloatLE(Number(value));
  else if (type === 'f64') bytes.writeDoubleLE(Number(value));
  else if (type.startsWith('i')) bytes.writeIntLE(Number(value), 0, bytes.length);
  else bytes.writeUIntLE(Number(value), 0, bytes.length);
  return bytes;
}

const text = (value: string): Buffer => Buffer.from(value, 'utf8');
const string = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), text(value)]);
const u32 = (value: number): Buffer => scalar('u32', value);
const u64 = (value: number): Buffer => scalar('u64', value);

function padded(bytes: Uint8Array, alignment: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((alignment - (bytes.byteLength % alignment)) % alignment)]);
}
