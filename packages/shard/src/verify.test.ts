import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MissingFileError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { VerifyError } from './errors';
import type { Manifest } from './manifest';
import { splitCheckpoint } from './split';
import { readFolder, writeCheckpoint } from './testing/checkpoints';
import { temporaryFolder } from './testing/temporary';
import { verifyShards } from './verify';

async function split(): Promise<{ dir: string; out: string; manifest: Manifest }> {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'), { layers: 1, experts: 1 });
  const out = path.join(dir, 'out');
  const { manifest } = await splitCheckpoint(source, out);
  return { dir, out, manifest };
}

async function failureOf(out: string): Promise<VerifyError> {
  const failure = await verifyShards(out).catch((error) => error);
  if (!VerifyError.isInstance(failure)) throw new Error(`no VerifyError but ${failure}`);
  return failure;
}

test('an untouched folder passes, and the report counts what was read', async () => {
  const { out, manifest } = await split();
  const report = await verifyShards(out);
  const sizes = [...(await readFolder(out))].map(([name, bytes]) => (name === 'manifest.json' ? 0 : bytes.length));
  expect(report).toMatchObject({
    dir: out,
    files: manifest.files.length + manifest.extras.length,
    tensors: manifest.files.flatMap((file) => file.tensors).length,
    bytes: sizes.reduce((a, b) => a + b),
  });
});

test('a flipped bit anywhere is found, and its file and tensor are named', async () => {
  const { out, manifest } = await split();
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const originals = [...(await readFolder(out))].filter(([name]) => name !== 'manifest.json');
  for (let round = 0; round < 6; round++) {
    const expected = new Map<string, string | null>();
    for (const [name, original] of originals) {
      // First and last byte, the length field or header, then anywhere.
      const at = [0, original.length - 1, random(200) % original.length][round] ?? random(original.length);
      const damaged = Buffer.from(original);
      damaged[at]! ^= 1 << random(8);
      await writeFile(path.join(out, name), damaged);
      const tensors = manifest.files.find(({ file }) => file === name)?.tensors ?? [];
      expected.set(name, tensors.find(({ offset, bytes }) => at >= offset && at < offset + bytes)?.name ?? null);
    }
    const { problems } = await failureOf(out);
    expect(new Map(problems.map(({ file, tensor }) => [file, tensor]))).toEqual(expected);
    expect(problems).toHaveLength(originals.length);
  }
  for (const [name, original] of originals) await writeFile(path.join(out, name), original);
  await verifyShards(out);
});

test('a flipped bit in padding is found', async () => {
  const { out, manifest } = await split();
  const { file, tensors } = manifest.files.find(({ role }) => role === 'layer')!;
  const index = tensors.findIndex(
    ({ offset, bytes }, i) => i + 1 < tensors.length && tensors[i + 1]!.offset > offset + bytes,
  );
  const at = tensors[index]!.offset + tensors[index]!.bytes;
  const bytes = await readFile(path.join(out, file));
  bytes[at] = 1;
  await writeFile(path.join(out, file), bytes);
  expect(await failureOf(out)).toMatchObject({ file, tensor: null });
});

test('a file cut short at any byte, grown, or missing is found', async () => {
  const { out, manifest } = await split();
  const { file, bytes, tensors } = manifest.files.find(({ role }) => role === 'layer')!;
  const full = path.join(out, file);
  const original = await readFile(full);
  for (const length of [bytes - 1, tensors.at(-1)!.offset, 100, 0]) {
    await truncate(full, length);
    const failure = await failureOf(out);
    expect(failure.file).toBe(file);
    const cut = tensors.filter((tensor) => tensor.offset + tensor.bytes > length).map(({ name }) => name);
    expect(failure.problems.flatMap(({ tensor }) => tensor ?? [])).toEqual(cut);
    await writeFile(full, original);
  }
  await writeFile(full, Buffer.concat([original, Buffer.of(0)]));
  expect(await failureOf(out)).toMatchObject({ file, tensor: null });
  await rm(full);
  expect(await failureOf(out)).toMatchObject({ file, tensor: null });
});

test('several damaged files are all reported, in order', async () => {
  const { out } = await split();
  for (const name of ['norm.safetensors', 'embed.safetensors', 'config.json']) await truncate(path.join(out, name), 5);
  const { problems } = await failureOf(out);
  expect([...new Set(problems.map(({ file }) => file))]).toEqual([
    'embed.safetensors',
    'norm.safetensors',
    'config.json',
  ]);
});

test('every changed or missing byte of the manifest is found', async () => {
  const { out } = await split();
  const file = path.join(out, 'manifest.json');
  const original = await readFile(file);
  for (let at = 0; at < original.length; at += 41) {
    const damaged = Buffer.from(original);
    damaged[at]! ^= 1 << (at % 8);
    await writeFile(file, damaged);
    expect((await failureOf(out)).file).toBe('manifest.json');
  }
  await writeFile(file, original.subarray(0, -1));
  expect((await failureOf(out)).file).toBe('manifest.json');
  await rm(file);
  expect((await failureOf(out)).file).toBe('manifest.json');
});

test('aborting rejects with the reason', async () => {
  const { out } = await split();
  const reason = new Error('changed my mind');
  await expect(verifyShards(out, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test('a copied file that was changed has no header, and a folder that is not there is no damaged split', async () => {
  const { out, manifest } = await split();
  const file = manifest.extras[0]!.file;
  const bytes = await readFile(path.join(out, file));
  bytes[0]! ^= 1;
  await writeFile(path.join(out, file), bytes);
  expect((await failureOf(out)).problems.at(-1)).toEqual({
    file,
    tensor: null,
    reason: 'its bytes are not the ones that were written',
  });
  const failure = await verifyShards(path.join(out, 'nowhere')).catch((error) => error);
  expect(MissingFileError.isInstance(failure)).toBe(true);
});
