import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { temporaryFolder } from '../testing/temporary';

/** A cache with one copy whose making was interrupted. */
function cacheDir(): string {
  const dir = temporaryFolder();
  const copy = path.join(dir, 'airllm', 'converted', 'model.gguf-0123456789ab');
  mkdirSync(copy, { recursive: true });
  writeFileSync(path.join(copy, 'layer.safetensors'), Buffer.alloc(2000));
  return dir;
}

test('ls lists copies with their state and size', async () => {
  const dir = cacheDir();
  const { stdout, code } = await airllm(['cache', 'ls', '--cache-dir', dir]);
  expect({ stdout, code }).toEqual({ stdout: 'model.gguf-0123456789ab  2.00 kB, incomplete\n', code: 0 });
  const listed = JSON.parse((await airllm(['cache', 'ls', '--cache-dir', dir, '--json'])).stdout);
  expect(listed).toMatchObject([{ name: 'model.gguf-0123456789ab', state: 'incomplete', bytes: 2000 }]);
});

test('rm removes a copy, and an unknown one is refused with the nearest name', async () => {
  const dir = cacheDir();
  const wrong = await airllm(['cache', 'rm', 'model.gguf-0123456789ac', '--cache-dir', dir]);
  expect(wrong).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('model.gguf-0123456789ab') });
  expect((await airllm(['cache', 'rm', 'model.gguf-0123456789ab', '--cache-dir', dir])).code).toBe(0);
  expect((await airllm(['cache', 'ls', '--cache-dir', dir])).stdout.trim()).toBe('');
});

test('what it is asked to do must be said, and nothing else', async () => {
  expect((await airllm(['cache', 'list'])).code).toBe(2);
  expect((await airllm(['cache', 'rm'])).code).toBe(2);
  expect((await airllm(['cache', 'ls', 'model'])).code).toBe(2);
});
