import { open, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { FormatError, type MetaTensor } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { noise } from '../../testing/checkpoints';
import { temporaryFolder } from '../../testing/temporary';
import { readTensor } from '../../testing/torch-read';
import {
  Pickler,
  type SavedTensor,
  torchLegacy,
  torchZip,
  type ZipPart,
  zip,
  zipPieces,
} from '../../testing/torch-save';
import { UnsafePickleError } from './errors';
import { openPickleCheckpoint } from './open-pickle-checkpoint';
import { isStridedTensor } from './pickle-tensor';

async function file(bytes: Uint8Array, name = 'pytorch_model.bin'): Promise<string> {
  const at = path.join(temporaryFolder(), name);
  await writeFile(at, bytes);
  return at;
}

async function tensorsOf(bytes: Uint8Array) {
  return (await openPickleCheckpoint(await file(bytes))).tensors;
}

async function refusal(bytes: Uint8Array): Promise<FormatError> {
  const at = await file(bytes);
  const error: unknown = await openPickleCheckpoint(at).catch((reason: unknown) => reason);
  expect(FormatError.isInstance(error), `${error}`).toBe(true);
  expect((error as FormatError).file).toBe(at);
  return error as FormatError;
}

const W: SavedTensor = { name: 'w', type: 'FloatStorage', key: '0', elements: 16, shape: [4, 4] };
const state = (...tensors: Partial<SavedTensor>[]) =>
  new Pickler().stateDict(tensors.map((tensor) => ({ ...W, ...tensor }))).bytes();
const BYTES = noise(64, 3);

describe('tensors', () => {
  test.each([
    ['FloatStorage', 'F32', 4],
    ['DoubleStorage', 'F64', 8],
    ['HalfStorage', 'F16', 2],
    ['BFloat16Storage', 'BF16', 2],
    ['LongStorage', 'I64', 8],
    ['IntStorage', 'I32', 4],
    ['ShortStorage', 'I16', 2],
    ['CharStorage', 'I8', 1],
    ['ByteStorage', 'U8', 1],
    ['BoolStorage', 'BOOL', 1],
    ['ComplexFloatStorage', 'C64', 8],
    ['UntypedStorage', 'U8', 1],
  ])('over a %s are %s', async (type, dtype, width) => {
    const tensors = await tensorsOf(torchZip(state({ type, elements: 64 / width, shape: [64 / width] }), { 0: BYTES }));
    expect(tensors.get('w')).toMatchObject({ dtype, shape: [64 / width], byteLength: 64 });
    expect(await readTensor(tensors.get('w')!)).toEqual(Buffer.from(BYTES));
  });

  test.each([
    ['float8_e4m3fn', 'F8_E4M3', 1],
    ['float8_e5m2', 'F8_E5M2', 1],
    ['float8_e8m0fnu', 'F8_E8M0', 1],
    ['uint16', 'U16', 2],
    ['uint64', 'U64', 8],
    ['bfloat16', 'BF16', 2],
  ])(
    'of torch.%s over an untyped storage are %s, offset and strides in their own elements',
    async (type, dtype, width) => {
      const shape = [2, 8 / width];
      const view = { type, elements: 64, offset: 8 / width, shape, strides: [16 / width, 1] };
      const tensors = await tensorsOf(torchZip(state(view), { 0: BYTES }));
      expect(tensors.get('w')).toMatchObject({ kind: 'strided', dtype, shape, byteLength: 16 });
      const found = await readTensor(tensors.get('w')!);
      expect(found).toEqual(Buffer.concat([BYTES.subarray(8, 16), BYTES.subarray(24, 32)]));
    },
  );

  test('share storages, lie in them at offsets, and are called __proto__', async () => {
    const pickle = state({}, { name: '__proto__', offset: 8, shape: [2, 4] }, { name: 'again', offset: 0 });
    const tensors = await tensorsOf(torchZip(pickle, { 0: BYTES }));
    expect([...tensors.keys()]).toEqual(['w', 'again', '__proto__']);
    const [w, again, proto] = [...tensors.values()].map((tensor) => (tensor as MetaTensor).extent!);
    expect(again).toEqual(w);
    expect(proto).toEqual({ ...w, offset: w!.offset + 32, length: 32 });
  });

  test('without elements, without dimensions, and with dimensions of 1 are never strided', async () => {
    const pickle = state(
      { name: 'none', shape: [0, 4], strides: [7, 9], offset: 16 },
      { name: 'scalar', shape: [], strides: [], offset: 15 },
      { name: 'ones', shape: [1, 4, 1], strides: [99, 1, 77] },
    );
    const tensors = await tensorsOf(torchZip(pickle, { 0: BYTES }));
    expect([...tensors.values()].some(isStridedTensor)).toBe(false);
    expect(await readTensor(tensors.get('scalar')!)).toEqual(Buffer.from(BYTES.subarray(60)));
    expect(tensors.get('none')).toMatchObject({ byteLength: 0, shape: [0, 4] });
  });

  test('are parameters, in a plain dict, with _metadata beside them', async () => {
    const dict = new Pickler(4)
      .op('}(')
      .string('w')
      .tensor({ ...W, parameter: true })
      .op('u');
    expect([...(await tensorsOf(torchZip(dict.bytes(), { 0: BYTES }))).keys()]).toEqual(['w']);
    const metadata = new Pickler().stateDict([W]).op('}').string('_metadata').orderedDict().op('sb');
    expect([...(await tensorsOf(torchZip(metadata.bytes(), { 0: BYTES }))).keys()]).toEqual(['w']);
  });

  test('expanded over one element are read as what they mean', async () => {
    const tensors = await tensorsOf(torchZip(state({ elements: 1, shape: [2, 3], strides: [0, 0] }), { 0: BYTES }));
    const bytes = await readTensor(tensors.get('w')!);
    expect(bytes).toEqual(Buffer.concat(Array.from({ length: 6 }, () => BYTES.subarray(0, 4))));
  });
});

describe('tensors are refused', () => {
  test.each<[string, Partial<SavedTensor>, RegExp]>([
    ['with sizes that promise too much', { shape: [2 ** 31 - 1, 2 ** 31 - 1], strides: [0, 0] }, /too many elements/],
    ['expanded beyond reason', { shape: [2 ** 25], strides: [0] }, /134217728 bytes over a storage of 64/],
    ['without elements, with sizes beyond 2^53', { shape: [2 ** 31 - 1, 2 ** 31 - 1, 0] }, /too many elements/],
    ['with an offset behind the end', { offset: 17, shape: [0] }, /reaches byte 68 of a storage of 64/],
    ['with fewer strides than sizes', { strides: [1] }, /2 sizes and 1 strides/],
    ['of 65 dimensions', { shape: Array(65).fill(1) }, /65 dimensions/],
    ['of complex128', { type: 'ComplexDoubleStorage' }, /torch\.ComplexDoubleStorage, which safetensors does not hold/],
    ['of a packed 4-bit type', { type: 'float4_e2m1fn_x2' }, /torch\.float4_e2m1fn_x2/],
  ])('%s', async (_, tensor, words) => {
    expect((await refusal(torchZip(state(tensor), { 0: BYTES }))).reason).toMatch(words);
  });

  test('whose storage is announced in two ways', async () => {
    const pickle = state({}, { name: 'v', type: 'HalfStorage', elements: 32 });
    expect((await refusal(torchZip(pickle, { 0: BYTES }))).reason).toMatch(/announced as 64 bytes of F32, then as/);
  });

  test('that are conjugated lazily', async () => {
    const rebuild = new Pickler().orderedDict().string('w').global('torch._utils', '_rebuild_tensor_v2').op('(');
    rebuild.storage('ComplexFloatStorage', '0', 8).int(0).ints([8]).ints([1]).raw(0x89).orderedDict();
    const pickle = rebuild.op('}').string('conj').raw(0x88).op('stRs').bytes();
    expect((await refusal(torchZip(pickle, { 0: BYTES }))).reason).toMatch(/with the bit "conj"/);
  });

  test('by name, if the state dict is wrapped in something', async () => {
    const wrapped = new Pickler().op('}').string('model').stateDict([W]).op('s').bytes();
    const error = await refusal(torchZip(wrapped, { 0: BYTES }));
    expect([error.tensor, error.reason]).toEqual(['model', expect.stringMatching(/a dict, not a tensor; save/)]);
  });
});

describe('names that are not needed', () => {
  test.each([
    ['numpy.core.multiarray', 'scalar'],
    ['torch._utils', '_rebuild_qtensor'],
    ['torch._tensor', '_rebuild_from_type_v2'],
    ['torch', '__builtins__'],
    ['torch.storage', 'FloatStorage'],
    ['collections', '__init__'],
    ['collections.OrderedDict', '__init__'],
    ['', ''],
    ['torch', 'constructor'],
    ['__proto__', 'constructor'],
  ])('%s.%s is refused, used or not', async (module, name) => {
    const at = await file(torchZip(new Pickler().global(module, name).op('0').stateDict([W]).bytes(), { 0: BYTES }));
    const error: unknown = await openPickleCheckpoint(at).catch((reason: unknown) => reason);
    expect(UnsafePickleError.isInstance(error), `${error}`).toBe(true);
    expect((error as UnsafePickleError).global).toBe(`${module}.${name}`);
  });

  test('a name that would paint over the terminal is shown escaped', async () => {
    const at = await file(torchZip(new Pickler().global('os\x1b[2J', 'a\u202eb').bytes(), {}));
    await expect(openPickleCheckpoint(at)).rejects.toThrow('asks for os\\u{1b}[2J.a\\u{202e}b,');
  });

  test('a bare pickle of any protocol tells what it would call', async () => {
    const old = await file(Buffer.from("cposix\nsystem\n(S'echo'\ntR."));
    await expect(openPickleCheckpoint(old)).rejects.toThrow('asks for posix.system (os.system)');
    const recent = await file(new Pickler(4).string('nt').string('system').raw(0x93).op(')R').bytes());
    await expect(openPickleCheckpoint(recent)).rejects.toThrow('asks for nt.system (os.system)');
  });

  test.each([
    ['calling a list', new Pickler().op('])R'), /REDUCE calls a list/],
    ['calling a dtype', new Pickler().global('torch', 'float32').op(')R'), /torch\.float32 is called/],
    ['calling with a list', new Pickler().global('collections', 'OrderedDict').op(']R'), /called with a list/],
    [
      'filling an OrderedDict by a call',
      new Pickler().global('collections', 'OrderedDict').op(']\x85R'),
      /with arguments/,
    ],
    ['attributes of a dict', new Pickler().op('}}b'), /set on a dict/],
    ['other attributes', new Pickler().orderedDict().op('}').string('__class__').op('Nsb'), /"__class__" is set/],
    [
      'NEWOBJ',
      new Pickler().global('collections', 'OrderedDict').op(')\x81'),
      /makes an object of collections\.Ordered/,
    ],
    ['INST', new Pickler().op('(icollections\nOrderedDict\n'), /INST makes an object of collections\.OrderedDict/],
    ['an extension', new Pickler().raw(0x82, 1), /opcode EXT1/],
    ['a persistent id in words', new Pickler().op('Pstorage\n'), /opcode PERSID/],
    ['a persistent module', new Pickler().op('(').string('module').op('tQ'), /of the kind "module"/],
    ['bytes', new Pickler().op('C\x01x'), /opcode SHORT_BINBYTES/],
    ['a key twice', new Pickler().op('}').string('a').op('Ns').string('a').op('Ns'), /the key "a" occurs twice/],
    ['a tuple as a key', new Pickler().op('})Ns'), /a tuple as a key/],
    ['a string that is not UTF-8', new Pickler().op('U\x01\xff'), /not UTF-8/],
    ['a memo entry never set', new Pickler().op('h\x05'), /memo entry 5/],
    ['protocol 6', new Pickler(6), /protocol 6/],
    ['a value from below a mark', new Pickler().op('N(0b'), /empty stack/],
  ])('%s is refused', async (_, pickle, words) => {
    expect((await refusal(torchZip(pickle.bytes(), {}))).reason).toMatch(words);
  });
});

describe('zip archives', () => {
  const pickle = state({});
  const parts = (change: Partial<ZipPart>): ZipPart[] => [
    { name: 'a/data.pkl', bytes: pickle },
    { name: 'a/data/0', bytes: BYTES, ...change },
  ];

  test('data begins behind the local header, whatever its padding', async () => {
    for (const padding of [0, 1, 63, 4000]) {
      const tensors = await tensorsOf(zip(parts({ padding })));
      expect(await readTensor(tensors.get('w')!)).toEqual(Buffer.from(BYTES));
    }
  });

  test('storages beyond 4 GB, by zip64', async () => {
    const at = await file(Buffer.alloc(0));
    const elements = 1.5 * 2 ** 30;
    const big: SavedTensor = { ...W, elements, shape: [2, 4], offset: elements - 8 };
    const bytes = new Pickler().stateDict([big, { ...W, key: '1', name: 'last' }]).bytes();
    const { pieces, size } = zipPieces([
      { name: 'a/data.pkl', bytes },
      { name: 'a/data/0', bytes: BYTES, hole: elements * 4 - 64, wide: true, padding: 40 },
      { name: 'a/data/1', bytes: BYTES, wide: true },
    ]);
    await truncate(at, size);
    const handle = await open(at, 'r+');
    for (const piece of pieces) await handle.write(piece.bytes, 0, piece.bytes.length, piece.at);
    await handle.close();
    const { tensors } = await openPickleCheckpoint(at);
    expect((tensors.get('w') as MetaTensor).extent!.offset).toBeGreaterThan(6 * 2 ** 30);
    expect(await readTensor(tensors.get('w')!)).toEqual(Buffer.alloc(32));
    expect(await readTensor(tensors.get('last')!)).toEqual(Buffer.from(BYTES));
  });

  test.each<[string, Buffer, RegExp]>([
    ['a compressed storage', zip(parts({ bytes: deflateRawSync(BYTES), method: 8 })), /"a\/data\/0" is compressed/],
    ['an encrypted storage', zip(parts({ flags: 1 })), /"a\/data\/0" is encrypted/],
    ['another name in the local header', zip(parts({ localName: 'a/data/1' })), /no local header of "a\/data\/0"/],
    ['an entry that ends behind the data', zip(parts({ hole: 1000 })), /ends at|damaged|points at|behind/],
    ['a storage twice', zip([...parts({}), { name: 'a/data/0', bytes: BYTES }]), /holds "a\/data\/0" twice/],
    ['no folder', zip([{ name: 'data.pkl', bytes: pickle }]), /without data\.pkl/],
    ['another folder first', zip([{ name: 'b/x', bytes: BYTES }, ...parts({})]), /without data\.pkl/],
    ['a TorchScript program', torchZip(pickle, {}, [{ name: 'archive/constants.pkl', bytes: pickle }]), /TorchScript/],
    ['a tail that was appended', Buffer.concat([zip(parts({})), Buffer.from('x')]), /no directory at its end/],
    ['a directory too large', zip(long(150)), /directory has \d+ bytes; 8388608 are accepted/],
  ])('%s: refused', async (_, bytes, words) => {
    expect((await refusal(bytes)).reason).toMatch(words);
  });

  test.each(['big', 'middle'])('byteorder %s is refused', async (order) => {
    const bytes = zip([...parts({}), { name: 'a/byteorder', bytes: Buffer.from(order) }]);
    const { reason } = await refusal(bytes);
    expect(reason).toMatch(order === 'big' ? /big-endian machine/ : /byte order is "middle"/);
    expect(reason).toMatch(/convert it to safetensors/);
  });
});

describe('legacy files', () => {
  const storage = { key: '94077318480720', elements: 16, bytes: BYTES };
  const object = (tensor: Partial<SavedTensor> = {}) =>
    new Pickler().stateDict([{ ...W, key: storage.key, ...tensor }], true).bytes();

  test('their storages follow the pickles', async () => {
    const tensors = await tensorsOf(torchLegacy(object(), [storage]));
    expect(await readTensor(tensors.get('w')!)).toEqual(Buffer.from(BYTES));
  });

  test('pickles longer than the first read', async () => {
    const names = Array.from({ length: 3000 }, (_, i) => `model.layers.${i}.self_attn.q_proj.weight`);
    const pickle = new Pickler().stateDict(
      names.map((name) => ({ ...W, name, key: storage.key })),
      true,
    );
    expect([...(await tensorsOf(torchLegacy(pickle.bytes(), [storage]))).keys()]).toEqual(names);
  });

  test('storages that are views of others', async () => {
    const rebuild = new Pickler().orderedDict().string('w').global('torch._utils', '_rebuild_tensor_v2').op('((');
    rebuild.string('storage').global('torch', 'FloatStorage').string(storage.key).string('cpu').int(16);
    rebuild.op('(').string('view').int(4).int(8).op('ttQ').int(2).ints([6]).ints([1]).raw(0x89).orderedDict();
    const tensors = await tensorsOf(torchLegacy(rebuild.op('tRs').bytes(), [storage]));
    expect(await readTensor(tensors.get('w')!)).toEqual(Buffer.from(BYTES.subarray(24, 48)));
  });

  test.each<[string, Buffer, RegExp]>([
    ['cut amid a storage', torchLegacy(object(), [storage]).subarray(0, -1), /but the file has \d+: it is cut/],
    ['cut amid the pickles', torchLegacy(object(), [storage]).subarray(0, 200), /end before their STOP/],
    ['another count', torchLegacy(object(), [{ ...storage, elements: 15 }]), /has 15 elements, its tensors say 16/],
    [
      'a storage nobody names',
      torchLegacy(object(), [storage, { ...storage, key: '1' }]),
      /"1", which no tensor names/,
    ],
    ['a storage listed twice', torchLegacy(object(), [storage, storage]), /twice/],
    ['a storage that is missing', torchLegacy(object(), []), /lacks storage "94077318480720"/],
    [
      'a big-endian machine',
      torchLegacy(object(), [storage], new Pickler().op('}').string('little_endian').raw(0x89).op('s').bytes()),
      /big-endian machine/,
    ],
    ['another pickle', new Pickler().int(1).bytes(), /its magic number is missing/],
  ])('%s: refused', async (_, bytes, words) => {
    expect((await refusal(bytes)).reason).toMatch(words);
  });
});

test.each([
  ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', /git lfs pull/],
  ['an error page', '<!DOCTYPE html><html></html>', /HTML or XML page/],
  ['a GGUF file', 'GGUF\x03\x00\x00\x00', /is a GGUF file/],
  ['a tar archive', `${'\x00'.repeat(257)}ustar`, /tar archive/],
  ['text', 'Hello, world', /is no PyTorch checkpoint/],
])('%s says what it is', async (_, content, words) => {
  expect((await refusal(Buffer.from(content, 'latin1'))).reason).toMatch(words);
});

/** Entries whose names fill a directory. */
function long(count: number): ZipPart[] {
  return Array.from({ length: count }, (_, i) => ({ name: `a/${i}${'x'.repeat(60_000)}`, bytes: new Uint8Array(0) }));
}
