import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Install, tinyLlama } from './tinyllama';

let cacheDir: string;

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'airllm tinyllama #'));
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

const halves = ['GGUF and the first ha', 'lf, then the second'];
const sha256 = createHash('sha256').update(halves.join('')).digest('hex');

/** Puts the halves where npm would put the packages. */
const install: Install = async (packages, folder) => {
  for (const [i, name] of packages.entries()) {
    const dir = join(folder, 'node_modules', name.slice(0, name.lastIndexOf('@')));
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'model.part'), halves[i]!);
  }
};

test('the halves become one file, which is found again', async () => {
  let installs = 0;
  const counting: Install = (...args) => {
    installs++;
    return install(...args);
  };
  const file = await tinyLlama(cacheDir, { install: counting, sha256 });
  expect(await readFile(file, 'utf8')).toBe(halves.join(''));
  expect(await tinyLlama(cacheDir, { install: counting, sha256 })).toBe(file);
  expect(installs).toBe(1);
  expect(await readdir(cacheDir)).toHaveLength(1);
});

test('other bytes are refused, and nothing half done stays', async () => {
  await expect(tinyLlama(cacheDir, { install })).rejects.toThrow('sha256');
  expect(await readdir(cacheDir)).toEqual([]);
  const offline: Install = () => Promise.reject(new Error('no network'));
  await expect(tinyLlama(cacheDir, { install: offline })).rejects.toThrow('no network');
  expect(await readdir(cacheDir)).toEqual([]);
});
