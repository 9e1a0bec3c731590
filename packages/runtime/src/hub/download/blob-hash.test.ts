import { createHash, randomBytes } from 'node:crypto';
import { foreignAvailable } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { type BlobHash, blobHash } from './blob-hash';

const data = randomBytes(700_001);
const sha256 = createHash('sha256').update(data).digest('hex');
const NAME = '0'.repeat(64);

describe('the hash of an LFS file', () => {
  test('is sha256, however it is cut', async () => {
    const hash = blobHash(data.length, NAME) as BlobHash;
    for (let at = 0, step = 1; at < data.length; at += step, step = step * 3 + 1) {
      await hash.update(data.subarray(at, at + step));
    }
    expect(hash.algorithm).toBe('sha256');
    expect(hash.digest()).toBe(sha256);
  });

  // Where Node hides its OpenSSL a download that goes on reads what it has once more.
  test.skipIf(!foreignAvailable())('goes on from what was saved, at any byte', async () => {
    for (const at of [0, 1, 63, 64, 65, 32_768, 99_999, 699_999]) {
      const first = blobHash(data.length, NAME) as BlobHash;
      await first.update(data.subarray(0, at));
      const saved = Buffer.from(first.save() as Uint8Array);
      await first.update(data.subarray(0, 100));
      const second = blobHash(data.length, NAME, saved) as BlobHash;
      await second.update(data.subarray(at));
      expect(second.digest(), String(at)).toBe(sha256);
    }
  });

  test('does not go on from what is no state of this machine', () => {
    for (const state of [randomBytes(10), randomBytes(112), Buffer.from(`sha256_ctx/other/${'x'.repeat(112)}`)]) {
      expect(blobHash(1, NAME, state)).toBeUndefined();
    }
  });
});

test('the hash of another file is git’s', async () => {
  const text = Buffer.from('what is up, doc?');
  const hash = blobHash(text.length, '0'.repeat(40)) as BlobHash;
  await hash.update(text);
  expect(hash.algorithm).toBe('git-sha1');
  // From the book Pro Git, chapter 10.2.
  expect(hash.digest()).toBe('bd9dbf5aae1a3862dd1526723246b20206e5fc37');
});
