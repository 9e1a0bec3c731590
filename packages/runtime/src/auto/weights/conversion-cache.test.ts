import { mkdir, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { conversionDir, isConverted, listConverted, recordConversion, removeConverted } from './conversion-cache';

async function sourceAndCopy() {
  const cacheDir = temporaryFolder();
  const source = join(temporaryFolder(), 'a model #1');
  await mkdir(source);
  const weights = join(source, 'model.safetensors');
  await writeFile(weights, 'weights');
  const copy = await conversionDir(source, { cacheDir });
  await mkdir(copy, { recursive: true });
  await writeFile(join(copy, 'layer.safetensors'), '0123456789');
  return { cacheDir, source, weights, copy };
}

test('a copy is incomplete until it is recorded, and stale once its source has changed', async () => {
  const { cacheDir, source, weights, copy } = await sourceAndCopy();
  const state = async () => (await listConverted({ cacheDir })).map(({ name, source, state }) => [name, source, state]);
  expect(await isConverted(copy)).toBe(false);
  expect(await state()).toEqual([[basename(copy), null, 'incomplete']]);
  await recordConversion(copy, source, [weights]);
  expect(await isConverted(copy)).toBe(true);
  expect(await state()).toEqual([[basename(copy), source, 'ready']]);
  await utimes(weights, 1, 1);
  expect(await isConverted(copy)).toBe(false);
  expect(await state()).toEqual([[basename(copy), source, 'stale']]);
});

test('a copy is removed by its name or by its source, and nothing else is', async () => {
  const { cacheDir, source, weights, copy } = await sourceAndCopy();
  await recordConversion(copy, source, [weights]);
  expect(await removeConverted('another', { cacheDir })).toEqual([]);
  expect(await removeConverted('..', { cacheDir })).toEqual([]);
  const [removed] = await removeConverted(source, { cacheDir });
  expect(removed).toMatchObject({ dir: copy, source });
  expect(await listConverted({ cacheDir })).toEqual([]);
  expect((await stat(weights)).size).toBe(7);
});

test('the source’s other copies go with it', async () => {
  const { cacheDir, source } = await sourceAndCopy();
  await mkdir(await conversionDir(source, { cacheDir }, '4bit'));
  expect(await removeConverted(source, { cacheDir })).toHaveLength(2);
  expect(await listConverted({ cacheDir })).toEqual([]);
});

test('two sources of one name have copies of their own', async () => {
  const [a, b] = [await sourceAndCopy(), await sourceAndCopy()];
  const options = { cacheDir: a.cacheDir };
  expect(await conversionDir(a.source, options)).not.toBe(await conversionDir(b.source, options));
});

test('a cache that is not there is empty', async () => {
  expect(await listConverted({ cacheDir: join(temporaryFolder(), 'none') })).toEqual([]);
});
