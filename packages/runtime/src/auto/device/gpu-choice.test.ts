import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gpuProviders } from '@airllm/kernels';
import { afterEach, expect, test, vi } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { gpuChoice, rememberGpuChoice } from './gpu-choice';

afterEach(() => vi.unstubAllEnvs());

test('keeps what was measured, and takes nothing else for it', async () => {
  const cache = temporaryFolder();
  vi.stubEnv('AIRLLM_CACHE', cache);
  expect(await gpuChoice()).toBeNull();
  const other = gpuProviders().at(-1)!;
  await rememberGpuChoice(other);
  expect(await gpuChoice()).toBe(other);
  const [file] = readdirSync(path.join(cache, 'gpu'));
  for (const text of ['{', '{"version":2,"provider":"webgpu"}', '{"version":1,"provider":"abacus"}']) {
    writeFileSync(path.join(cache, 'gpu', file!), text);
    expect(await gpuChoice()).toBeNull();
  }
});
