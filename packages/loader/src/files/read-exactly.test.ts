import { expect, test } from 'vitest';
import { ReadError } from '../errors';
import { type OpenFile, readExactly } from './read-exactly';

/** Gives at most three bytes at a time of a file that counts up. */
function counting(size: number): OpenFile {
  return {
    async read(into, at, length, position) {
      const bytesRead = Math.max(0, Math.min(3, length, size - position));
      for (let i = 0; i < bytesRead; i++) into[at + i] = position + i;
      return { bytesRead };
    },
  };
}

test('goes on after reads that bring less than asked for', async () => {
  expect([...(await readExactly(counting(20), { file: 'f', offset: 5, length: 8 }))]).toEqual([
    5, 6, 7, 8, 9, 10, 11, 12,
  ]);
});

test('a file that ends is an error, not zeros', async () => {
  const error = await readExactly(counting(10), { file: 'f', offset: 4, length: 8 }).catch((thrown: unknown) => thrown);
  expect(ReadError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ file: 'f', offset: 4, expected: 8, found: 6 });
});

test('what the system says is kept', async () => {
  const cause = Object.assign(new Error('broken'), { code: 'EIO' });
  const broken: OpenFile = { read: () => Promise.reject(cause) };
  await expect(readExactly(broken, { file: 'f', offset: 0, length: 1 })).rejects.toMatchObject({ errno: 'EIO', cause });
});
