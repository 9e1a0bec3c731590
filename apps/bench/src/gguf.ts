/** Types of tensors that are written, with ggml's numbers. */
const GGUF_TYPES = { F32: 0, BF16: 30 } as const;
export type GgufType = keyof typeof GGUF_TYPES;

/** A metadata value with its type in the file. */
export type GgufValue =
  | { readonly type: 'u32' | 'f32'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'i32[]'; readonly value: readonly number[] }
  | { readonly type: 'string[]'; readonly value: readonly string[] };

/** A tensor to be written; `shape` as in PyTorch, slowest dimension first. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgufType;
  readonly shape: readonly number[];
}

export interface GgufLayout {
  /** Everything before the data, padded to where it starts. */
  readonly header: Buffer;
  /** Where each tensor starts in the file, in the order given, and its length. */
  readonly places: readonly { readonly offset: number; readonly length: number }[];
  readonly fileBytes: number;
}

const VERSION = 3;
/** `general.alignment` where a file does not say otherwise. */
const ALIGNMENT = 32;
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, string: 8, array: 9 } as const;

/** Lays out a GGUF file (ggml/docs/gguf.md): metadata in the given order, tensors one after the other. */
export function layoutGguf(metadata: Readonly<Record<string, GgufValue>>, tensors: readonly GgufTensor[]): GgufLayout {
  const places: { offset: number; length: number }[] = [];
  let end = 0;
  for (const { type, shape } of tensors) {
    const length = shape.reduce((product, size) => product * size, type === 'F32' ? 4 : 2);
    places.push({ offset: end, length });
    end = alignUp(end + length);
  }
  const parts = [
    Buffer.from('GGUF'),
    u32(VERSION),
    u64(tensors.length),
    u64(Object.keys(metadata).length),
    ...Object.entries(metadata).flatMap(([key, value]) => [string(key), ...encode(value)]),
    ...tensors.flatMap(({ name, type, shape }, i) => [
      string(name),
      u32(shape.length),
      // Fastest dimension first.
      ...[...shape].reverse().map(u64),
      u32(GGUF_TYPES[type]),
      u64(places[i]!.offset),
    ]),
  ];
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.concat([...parts, Buffer.alloc(alignUp(bytes) - bytes)]);
  return {
    header,
    places: places.map(({ offset, length }) => ({ offset: header.length + offset, length })),
    fileBytes: header.length + end,
  };
}

function encode(value: GgufValue): Buffer[] {
  switch (value.type) {
    case 'u32':
      return [u32(VALUE_TYPES.u32), u32(value.value)];
    case 'f32':
      return [u32(VALUE_TYPES.f32), f32(value.value)];
    case 'string':
      return [u32(VALUE_TYPES.string), string(value.value)];
    case 'i32[]':
      return [u32(VALUE_TYPES.array), u32(VALUE_TYPES.i32), u64(value.value.length), ...value.value.map(i32)];
    case 'string[]':
      return [u32(VALUE_TYPES.array), u32(VALUE_TYPES.string), u64(value.value.length), ...value.value.map(string)];
  }
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function alignUp(value: number): number {
  return Math.ceil(value / ALIGNMENT) * ALIGNMENT;
}
