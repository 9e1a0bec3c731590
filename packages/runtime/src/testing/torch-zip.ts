import { crc32 } from '@airllm/loader';

export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Float32, row by row. */
  readonly bytes: Uint8Array;
}

/** Where PyTorch has the bytes of an entry begin: at multiples of this. */
const ALIGNMENT = 64;

/** What `torch.save` writes of a state dict: a zip archive that stores a pickle and the bytes of each tensor. */
export function torchZip(tensors: readonly StoredTensor[]): Uint8Array {
  return zip([
    ['archive/data.pkl', stateDict(tensors)],
    ['archive/byteorder', Buffer.from('little')],
    ...tensors.map(({ bytes }, i): [string, Uint8Array] => [`archive/data/${i}`, bytes]),
  ]);
}

/** A pickle of protocol 2. */
function stateDict(tensors: readonly StoredTensor[]): Buffer {
  const ordered = 'ccollections\nOrderedDict\n)R';
  const items = tensors.flatMap(({ name, shape }, i) => {
    const strides = shape.map((_, axis) => product(shape.slice(axis + 1)));
    const storage = ['(', text('storage'), 'ctorch\nFloatStorage\n', text(String(i)), text('cpu'), int(product(shape))];
    const tensor = [...storage, 'tQ', int(0), ...tuple(shape), ...tuple(strides), '\x89', ordered];
    return [text(name), 'ctorch._utils\n_rebuild_tensor_v2\n', '(', ...tensor, 'tR'];
  });
  return Buffer.concat(
    ['\x80\x02', ordered, '(', ...items, 'u.'].map((part) =>
      typeof part === 'string' ? Buffer.from(part, 'latin1') : part,
    ),
  );
}

function tuple(values: readonly number[]): (string | Buffer)[] {
  return ['(', ...values.map(int), 't'];
}

function int(value: number): Buffer {
  return Buffer.concat([Buffer.from('J'), number(value, 4)]);
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from('X'), number(value.length, 4), Buffer.from(value)]);
}

function product(values: readonly number[]): number {
  return values.reduce((all, value) => all * value, 1);
}

function zip(entries: readonly (readonly [name: string, bytes: Uint8Array])[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, bytes] of entries) {
    const least = at + 30 + name.length + 4;
    const padding = Math.ceil(least / ALIGNMENT) * ALIGNMENT - least;
    const sizes = [number(crc32(bytes), 4), number(bytes.length, 4), number(bytes.length, 4), number(name.length, 2)];
    const field = Buffer.concat([Buffer.from('FB'), number(padding, 2), Buffer.alloc(padding, 'Z')]);
    const known = Buffer.concat([Buffer.alloc(8), ...sizes]);
    const local = [Buffer.from('PK\x03\x04'), number(0, 2), known, number(field.length, 2), Buffer.from(name), field];
    const place = [number(0, 2), Buffer.alloc(10), number(at, 4), Buffer.from(name)];
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), number(0, 4), known, ...place]));
    parts.push(...local, bytes);
    at += local.reduce((sum, { length }) => sum + length, 0) + bytes.length;
  }
  const end = [number(entries.length, 2), number(entries.length, 2), number(Buffer.concat(directory).length, 4)];
  return Buffer.concat([
    ...parts,
    ...directory,
    Buffer.from('PK\x05\x06\0\0\0\0'),
    ...end,
    number(at, 4),
    number(0, 2),
  ]);
}

function number(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntLE(value, 0, length);
  return bytes;
}
