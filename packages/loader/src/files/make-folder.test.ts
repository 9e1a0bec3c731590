import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../testing/folder';
import { makeFolder } from './make-folder';

test('makes what is missing and says what that was', async () => {
  const root = temporaryFolder();
  const dir = join(root, 'a', 'b', 'c');
  expect(await makeFolder(dir)).toBe(join(root, 'a'));
  expect(existsSync(dir)).toBe(true);
  expect(await makeFolder(dir)).toBeUndefined();
  expect(await makeFolder(join(root, 'a', 'd'))).toBe(join(root, 'a', 'd'));
});

test('two may make the same at a time', async () => {
  const dir = join(temporaryFolder(), 'a', 'b', 'c', 'd');
  await Promise.all(Array.from({ length: 8 }, () => makeFolder(dir)));
  expect(existsSync(dir)).toBe(true);
});

test('a file in the way is told', async () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  await expect(makeFolder(file)).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolder(join(file, 'a', 'b'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

// Node's own never returns there.
test.skipIf(!existsSync('/proc/self'))('a file system that holds no folders is told', async () => {
  await expect(makeFolder('/proc/airllm/a')).rejects.toMatchObject({ code: 'ENOENT' });
});
