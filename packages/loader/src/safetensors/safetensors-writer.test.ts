import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canMount } from '../../../../.ci/mount';
import { DTYPES, tensorBytes } from '../dtype';
import { DisposedError, OptionError, WriteError } from '../errors';
import { HostBuffer } from '../host-buffer';
import { patternBytes, temporaryFolder } from '../testing/folder';
import { openSafetensors } from './open-safetensors';
import { isPadding } from './padding';
import { SafetensorsWriter, type TensorData, writeSafetensors } from './safetensors-writer';

const dir = temporaryFolder();
const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
const u8 = (name: string, length: number): TensorData => ({
  name,
  dtype: 'U8',
  shape: [length],
  data: patternBytes(length),
});

test('what is written is read back, aligned, under every alignment', async () => {
  const tensors = fc.uniqueArray(
    fc.record({
      name: fc.string({ unit: 'grapheme', maxLength: 10 }).filter((name) => name !== '__metadata__'),
      dtype: fc.constantFrom(...DTYPES.filter((dtype) => !/^F[46]/.test(dtype))),
      shape: fc.array(fc.nat(6), { maxLength: 3 }),
    }),
    { selector: ({ name }) => name, maxLength: 10 },
  );
  const file = join(dir, 'round-trip.safetensors');
  const metadata = fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 5 }), fc.string({ unit: 'grapheme' }));
  const property = fc.asyncProperty(
    tensors,
    metadata,
    fc.constantFrom(1, 8, 4096),
    fc.constantFrom(1, 64),
    async (specs, labels, alignData, alignTensors) => {
      const data = specs.map((spec) => ({ ...spec, data: patternBytes(tensorBytes(spec.dtype, spec.shape)) }));
      const metadata = { ...labels };
      await writeSafetensors(file, data, { metadata, alignData, alignTensors, fsync: false });
      const bytes = readFileSync(file);
      const read = await openSafetensors(file);
      const held = [...read.tensors.values()].filter((tensor) => !isPadding(tensor));
      expect(held.map(({ name, dtype, shape }) => ({ name, dtype, shape }))).toEqual(specs);
      expect(Object.fromEntries(read.metadata)).toEqual(metadata);
      const start = 8 + Number(bytes.readBigUInt64LE());
      expect(start % alignData).toBe(0);
      for (const [i, { extent, byteLength }] of held.entries()) {
        const { offset } = extent!;
        if (byteLength > 0) expect((offset - start) % alignTensors).toBe(0);
        expect(Buffer.compare(bytes.subarray(offset, offset + byteLength), data[i]!.data)).toBe(0);
      }
    },
  );
  await fc.assert(property, { numRuns: 60 });
});

test('bytes may come in pieces, and from host buffers', async () => {
  const buffer = HostBuffer.allocate(100);
  buffer.bytes().set(patternBytes(100));
  async function* pieces() {
    yield buffer.bytes(0, 30);
    yield new Uint8Array(0);
    yield buffer.bytes(30);
  }
  const file = join(dir, 'pieces.safetensors');
  await writeSafetensors(file, [{ ...u8('a', 100), data: pieces() }, u8('b', 1)]);
  buffer.dispose();
  const { tensors } = await openSafetensors(file);
  const tensor = await tensors.get('a')!.materialize();
  expect(tensor.bytes()).toEqual(patternBytes(100));
  tensor.dispose();
});

test('the writer tells beforehand where everything will lie', async () => {
  const file = join(dir, 'placed.safetensors');
  const writer = await SafetensorsWriter.create(file, [u8('a', 3), u8('b', 5)]);
  expect(writer.tensors.map(({ offset }) => offset)).toEqual([4096, 4160]);
  expect(existsSync(file)).toBe(false);
  await writer.write('a', patternBytes(3));
  await writer.write('b', patternBytes(5));
  await writer.finish();
  const { tensors, fileBytes } = await openSafetensors(file);
  expect(fileBytes).toBe(writer.fileBytes);
  expect(tensors.get('b')?.extent?.offset).toBe(4160);
  await writer.abort();
  expect(existsSync(file)).toBe(true);
  expect(DisposedError.isInstance(await rejection(writer.finish()))).toBe(true);
});

describe('mistakes leave no file', () => {
  const specs = [u8('a', 3), u8('b', 5)];
  const mistakes: Record<string, (writer: SafetensorsWriter) => Promise<void>> = {
    'too few bytes': (writer) => writer.write('a', patternBytes(2)),
    'too many bytes': (writer) => writer.write('a', [patternBytes(2), patternBytes(2)]),
    'the wrong tensor': (writer) => writer.write('b', patternBytes(5)),
    'a tensor forgotten': async (writer) => {
      await writer.write('a', patternBytes(3));
      await writer.finish();
    },
    'one tensor too many': async (writer) => {
      for (const { name, data } of specs) await writer.write(name, data);
      await writer.write('c', patternBytes(1));
    },
  };

  test.each(Object.entries(mistakes))('%s', async (name, make) => {
    const folder = join(dir, name);
    mkdirSync(folder);
    const writer = await SafetensorsWriter.create(join(folder, 'f.safetensors'), specs);
    expect(OptionError.isInstance(await rejection(make(writer)))).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
    expect(DisposedError.isInstance(await rejection(writer.write('a', patternBytes(3))))).toBe(true);
  });

  test('an error of whoever makes the bytes comes through, and an older file stays', async () => {
    const folder = join(dir, 'older');
    mkdirSync(folder);
    const file = join(folder, 'f.safetensors');
    writeFileSync(file, 'older');
    const reason = new Error('the source broke');
    function* broken() {
      yield patternBytes(1);
      throw reason;
    }
    expect(await rejection(writeSafetensors(file, [{ ...u8('a', 3), data: broken() }]))).toBe(reason);
    expect(readdirSync(folder)).toEqual(['f.safetensors']);
    expect(readFileSync(file, 'utf8')).toBe('older');
  });

  test('impossible specs are refused before anything is made', async () => {
    const folder = join(dir, 'specs');
    mkdirSync(folder);
    const file = join(folder, 'f.safetensors');
    for (const tensors of [
      [u8('a', 1), u8('a', 1)],
      [u8('__metadata__', 1)],
      [u8('__padding__.0', 1)],
      [u8('\ud800', 1)],
      [{ ...u8('a', 1), dtype: 'F33' as 'F32' }],
      [{ ...u8('a', 1), shape: [-1] }],
    ]) {
      expect(OptionError.isInstance(await rejection(SafetensorsWriter.create(file, tensors)))).toBe(true);
    }
    const error = await rejection(SafetensorsWriter.create(file, specs, { alignTensors: 0 }));
    expect(OptionError.isInstance(error)).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a folder that does not exist is named', async () => {
    const file = join(dir, 'absent', 'f.safetensors');
    const error = await rejection(writeSafetensors(file, specs));
    expect(error).toMatchObject({ code: 'ERR_WRITE', file, errno: 'ENOENT' });
  });
});

describe.skipIf(!canMount())('on a full drive (needs root to mount one)', () => {
  test('ENOSPC is a WriteError, and the drive is as it was', async () => {
    const mount = mkdtempSync(join(tmpdir(), 'airllm-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount]);
    try {
      const file = join(mount, 'f.safetensors');
      const error = await rejection(writeSafetensors(file, [u8('a', 500_000), u8('b', 2_000_000)]));
      expect(WriteError.isInstance(error), String(error)).toBe(true);
      expect(error).toMatchObject({ file, errno: 'ENOSPC' });
      expect(readdirSync(mount)).toEqual([]);
      await writeSafetensors(file, [u8('a', 500_000)]);
      expect(readdirSync(mount)).toEqual(['f.safetensors']);
    } finally {
      execFileSync('umount', [mount]);
      rmdirSync(mount);
    }
  });
});
