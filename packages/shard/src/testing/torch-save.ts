/** What `torch.save` writes, made by hand so that tests can bend every part of it. */

export interface SavedTensor {
  name: string;
  /** `FloatStorage`; or of a dtype that has no storage class, `float8_e4m3fn`. */
  type: string;
  /** Storage key. */
  key: string;
  /** Elements of the storage. */
  elements: number;
  offset?: number;
  shape: readonly number[];
  /** Default: contiguous. */
  strides?: readonly number[];
  parameter?: boolean;
}

/** A pickle of protocol 2, opcode by opcode; each method appends and returns the pickler. */
export class Pickler {
  readonly #parts: Buffer[] = [];

  constructor(protocol = 2) {
    this.raw(0x80, protocol);
  }

  raw(...bytes: number[]): this {
    this.#parts.push(Buffer.from(bytes));
    return this;
  }

  /** Opcodes that are letters: `t`, `R`, `.`. */
  op(letters: string): this {
    this.#parts.push(Buffer.from(letters, 'latin1'));
    return this;
  }

  string(text: string): this {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return this.op('X').#append(length, bytes);
  }

  int(value: number | bigint): this {
    if (typeof value === 'number' && value >= -(2 ** 31) && value < 2 ** 31) {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(value);
      return this.op('J').#append(bytes);
    }
    const bytes = Buffer.alloc(16);
    let rest = BigInt.asUintN(128, BigInt(value));
    for (let i = 0; i < 16; i++, rest >>= 8n) bytes[i] = Number(rest & 255n);
    return this.raw(0x8a, 16).#append(bytes);
  }

  ints(values: readonly (number | bigint)[]): this {
    this.op('(');
    for (const value of values) this.int(value);
    return this.op('t');
  }

  global(module: string, name: string): this {
    return this.#append(Buffer.from(`c${module}\n${name}\n`));
  }

  orderedDict(): this {
    return this.global('collections', 'OrderedDict').op(')R');
  }

  storage(type: string, key: string, elements: number | bigint, legacy = false): this {
    this.op('(').string('storage').global('torch', type).string(key).string('cpu').int(elements);
    return this.op(legacy ? 'NtQ' : 'tQ');
  }

  tensor(tensor: Omit<SavedTensor, 'name'>, legacy = false): this {
    const { type, key, elements, offset = 0, shape, strides = contiguous(shape), parameter = false } = tensor;
    const hasStorage = type.endsWith('Storage');
    if (parameter) this.global('torch._utils', '_rebuild_parameter').op('(');
    this.global('torch._utils', hasStorage ? '_rebuild_tensor_v2' : '_rebuild_tensor_v3').op('(');
    this.storage(hasStorage ? type : 'UntypedStorage', key, elements, legacy);
    this.int(offset).ints(shape).ints(strides).raw(0x89).orderedDict();
    if (!hasStorage) this.global('torch', type);
    this.op('tR');
    return parameter ? this.raw(0x88).orderedDict().op('tR') : this;
  }

  stateDict(tensors: readonly SavedTensor[], legacy = false): this {
    this.orderedDict().op('(');
    for (const tensor of tensors) this.string(tensor.name).tensor(tensor, legacy);
    return this.op('u');
  }

  /** Ends the pickle. */
  bytes(): Buffer {
    return Buffer.concat([...this.#parts, Buffer.from('.')]);
  }

  #append(...parts: Buffer[]): this {
    this.#parts.push(...parts);
    return this;
  }
}

function contiguous(shape: readonly number[]): number[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
}

/** An entry of {@link zip}. */
export interface ZipPart {
  name: string;
  bytes: Uint8Array;
  method?: number;
  flags?: number;
  /** Bytes of padding in the local header alone, as PyTorch aligns storages. */
  padding?: number;
  /** Write sizes and offset into zip64 fields, as for more than 4 GB. */
  wide?: boolean;
  /** Other name in the local header. */
  localName?: string;
  /** Bytes the entry claims, and jumps over, beyond those given. */
  hole?: number;
}

export interface ZipBytes {
  /** What lies at which offset; between them are holes. */
  readonly pieces: readonly { readonly at: number; readonly bytes: Buffer }[];
  readonly size: number;
}

/** A zip archive in pieces, so that entries of many GB can be sparse. */
export function zipPieces(parts: readonly ZipPart[]): ZipBytes {
  const pieces: { at: number; bytes: Buffer }[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const part of parts) {
    const size = part.bytes.length + (part.hole ?? 0);
    const local = localHeader(part, size);
    pieces.push({ at, bytes: Buffer.concat([local, part.bytes]) });
    directory.push(directoryEntry(part, size, at));
    at += local.length + size;
  }
  const bytes = Buffer.concat(directory);
  const wide = parts.some((part) => part.wide);
  pieces.push({ at, bytes: Buffer.concat([bytes, endRecords(parts.length, bytes.length, at, wide)]) });
  const last = pieces.at(-1)!;
  return { pieces, size: last.at + last.bytes.length };
}

export function zip(parts: readonly ZipPart[]): Buffer {
  return Buffer.concat(zipPieces(parts).pieces.map(({ bytes }) => bytes));
}

/** What `torch.save` makes of a pickle and its storages, by key. */
export function torchZip(
  pickle: Uint8Array,
  storages: Record<string, Uint8Array>,
  more: readonly ZipPart[] = [],
): Buffer {
  return zip([
    { name: 'archive/data.pkl', bytes: pickle },
    { name: 'archive/byteorder', bytes: Buffer.from('little') },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes, padding: 7 })),
    ...more,
  ]);
}

/** The five pickles and the storages of PyTorch before 1.6. */
export function torchLegacy(
  object: Uint8Array,
  storages: readonly { key: string; elements: number; bytes: Uint8Array }[],
  system: Uint8Array = new Pickler().op('}').string('little_endian').raw(0x88).op('s').bytes(),
): Buffer {
  const keys = new Pickler().op('](');
  for (const { key } of storages) keys.string(key);
  return Buffer.concat([
    new Pickler().int(0x1950a86a20f9469cfc6cn).bytes(),
    new Pickler().int(1001).bytes(),
    system,
    object,
    keys.op('e').bytes(),
    ...storages.flatMap(({ elements, bytes }) => [uint(elements, 8), bytes]),
  ]);
}

function localHeader({ name, localName = name, method = 0, flags = 0, padding = 0, wide }: ZipPart, size: number) {
  const field = wide ? extra(1, uint(size, 8), uint(size, 8)) : Buffer.alloc(0);
  const pad = padding > 0 ? extra(0x4246, Buffer.alloc(padding, 'Z')) : Buffer.alloc(0);
  const narrow = wide ? 0xffffffff : size;
  return Buffer.concat([
    uint(0x04034b50, 4),
    uint(45, 2),
    uint(flags, 2),
    uint(method, 2),
    Buffer.alloc(8),
    uint(narrow, 4),
    uint(narrow, 4),
    uint(localName.length, 2),
    uint(field.length + pad.length, 2),
    Buffer.from(localName),
    field,
    pad,
  ]);
}

function directoryEntry({ name, method = 0, flags = 0, wide }: ZipPart, size: number, at: number): Buffer {
  const field = wide ? extra(1, uint(size, 8), uint(size, 8), uint(at, 8)) : Buffer.alloc(0);
  const narrow = wide ? 0xffffffff : size;
  return Buffer.concat([
    uint(0x02014b50, 4),
    uint(45, 2),
    uint(45, 2),
    uint(flags, 2),
    uint(method, 2),
    Buffer.alloc(8),
    uint(narrow, 4),
    uint(narrow, 4),
    uint(name.length, 2),
    uint(field.length, 2),
    Buffer.alloc(10),
    uint(wide ? 0xffffffff : at, 4),
    Buffer.from(name),
    field,
  ]);
}

function endRecords(count: number, size: number, at: number, wide: boolean): Buffer {
  const end64 = [
    uint(0x06064b50, 4),
    uint(44, 8),
    uint(45, 2),
    uint(45, 2),
    Buffer.alloc(8),
    uint(count, 8),
    uint(count, 8),
    uint(size, 8),
    uint(at, 8),
    uint(0x07064b50, 4),
    Buffer.alloc(4),
    uint(at + size, 8),
    uint(1, 4),
  ];
  return Buffer.concat([
    ...(wide ? end64 : []),
    uint(0x06054b50, 4),
    Buffer.alloc(4),
    uint(wide ? 0xffff : count, 2),
    uint(wide ? 0xffff : count, 2),
    uint(wide ? 0xffffffff : size, 4),
    uint(wide ? 0xffffffff : at, 4),
    Buffer.alloc(2),
  ]);
}

function extra(id: number, ...fields: Buffer[]): Buffer {
  const body = Buffer.concat(fields);
  return Buffer.concat([uint(id, 2), uint(body.length, 2), body]);
}

function uint(value: number, length: 2 | 4 | 8): Buffer {
  const bytes = Buffer.alloc(length);
  if (length === 8) bytes.writeBigUInt64LE(BigInt(value));
  else bytes.writeUIntLE(value, 0, length);
  return bytes;
}
