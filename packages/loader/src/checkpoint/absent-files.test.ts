import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FormatError, MissingFileError, ReadError } from '../errors';
import { writeSafetensors } from '../safetensors/safetensors-writer';
import { temporaryFolder } from '../testing/folder';
import type { AbsentFiles } from './absent-files';
import { openCheckpoint } from './open-checkpoint';

const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

const temporary = temporaryFolder();
let count = 0;

/** A sharded checkpoint, and a folder that has only what describes it. */
async function folders(tensorsEach = 3): Promise<{ whole: string; described: string }> {
  const root = join(temporary, String(count++));
  const [whole, described] = [join(root, 'whole'), join(root, 'described')];
  mkdirSync(whole, { recursive: true });
  mkdirSync(described);
  const weightMap: Record<string, string> = {};
  for (const [s, shard] of SHARDS.entries()) {
    const tensors = Array.from({ length: tensorsEach }, (_, i) => `model.layers.${s}.part${i}.weight`);
    for (const name of tensors) weightMap[name] = shard;
    const data = new Uint8Array(40_000);
    await writeSafetensors(
      join(whole, shard),
      tensors.map((name) => ({ name, dtype: 'U8', shape: [40_000], data })),
      { alignData: 8 },
    );
  }
  for (const dir of [whole, described]) {
    writeFileSync(join(dir, 'config.json'), '{"a":1}');
    writeFileSync(join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
  }
  return { whole, described };
}

function readingFrom(dir: string): AbsentFiles & { requests: number; bytes: number } {
  const files = {
    sizes: new Map(SHARDS.map((name) => [name, statSync(join(dir, name)).size])),
    requests: 0,
    bytes: 0,
    async read(name: string, offset: number, length: number) {
      files.requests++;
      files.bytes += length;
      return Uint8Array.prototype.slice.call(readFileSync(join(dir, name)), offset, offset + length);
    },
  };
  return files;
}

test('tensors are as if the files were here, for one small read of each', async () => {
  const { whole, described } = await folders();
  const absent = readingFrom(whole);
  const found = await openCheckpoint(described, { absent });
  const expected = await openCheckpoint(whole);
  expect({ ...found, dir: whole, files: expected.files, tensors: null }).toEqual({ ...expected, tensors: null });
  for (const [name, { dtype, shape, extent }] of expected.tensors) {
    const file = extent!.file.replace(whole, described);
    expect(found.tensors.get(name)).toMatchObject({ dtype, shape, extent: { ...extent, file } });
  }
  expect(absent.requests).toBe(2);
  expect(absent.bytes).toBeLessThan(2000);
});

test('a header longer than was thought takes a second read', async () => {
  const { whole, described } = await folders(200);
  for (const [i, shard] of SHARDS.entries()) {
    writeFileSync(
      join(described, 'model.safetensors.index.json'),
      JSON.stringify({ weight_map: { [`model.layers.${i}.part0.weight`]: shard } }),
    );
    const absent = readingFrom(whole);
    expect((await openCheckpoint(described, { absent })).tensors.size).toBe(200);
    expect(absent.requests).toBe(2);
  }
});

test('a file that is here is read here', async () => {
  const { whole, described } = await folders();
  copyFileSync(join(whole, SHARDS[0]!), join(described, SHARDS[0]!));
  const absent = readingFrom(whole);
  expect((await openCheckpoint(described, { absent })).tensors.size).toBe(6);
  expect(absent.requests).toBe(1);
});

test('what is wrong is told by the path the file will have', async () => {
  const { whole, described } = await folders();
  const file = join(described, SHARDS[0]!);
  const absent = readingFrom(whole);
  // Files are opened side by side: only one of them fails, so which is told does not hang on who is first.
  const answering = (answer: (length: number) => Uint8Array): AbsentFiles => ({
    ...absent,
    read: async (name, offset, length) => (name === SHARDS[0] ? answer(length) : absent.read(name, offset, length)),
  });
  const short = answering(() => new Uint8Array(3));
  const unread = await openCheckpoint(described, { absent: short }).catch((e) => e);
  expect(ReadError.isInstance(unread) && unread.file).toBe(file);
  const page = answering((length) => Buffer.alloc(length, '<html>'));
  const refused = await openCheckpoint(described, { absent: page }).catch((e) => e);
  expect(FormatError.isInstance(refused) && refused.file).toBe(file);
  const other: AbsentFiles = { ...absent, sizes: new Map([[SHARDS[1]!, 120_000]]) };
  await expect(openCheckpoint(described, { absent: other })).rejects.toSatisfy(MissingFileError.isInstance);
});
