import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freeGpuMemory, type GpuSources, mayHaveGpu } from './gpu-memory';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'airllm-gpu-'));
});
afterEach(() => rm(root, { recursive: true }));

function machine(changes: Partial<GpuSources> = {}): GpuSources {
  return {
    run: () => Promise.reject(new Error('ENOENT')),
    sysfs: join(root, 'drm'),
    dev: join(root, 'dev'),
    platform: 'linux',
    env: {},
    ...changes,
  };
}

test('tells the free memory of the largest card', async () => {
  expect(await freeGpuMemory(machine())).toBeNull();
  const run = async (command: string) => {
    expect(command).toBe('nvidia-smi');
    return '4015\n11264\n';
  };
  expect(await freeGpuMemory(machine({ run }))).toBe(11264 * 2 ** 20);
  expect(await freeGpuMemory(machine({ run: async () => 'No devices were found\n' }))).toBeNull();
});

test('tells that of an AMD card from the kernel, and passes over cards that say nothing', async () => {
  for (const name of ['card0', 'card1', 'card1-DP-1'])
    await mkdir(join(root, 'drm', name, 'device'), { recursive: true });
  await writeFile(join(root, 'drm/card1/device/mem_info_vram_total'), '8000000000\n');
  await writeFile(join(root, 'drm/card1/device/mem_info_vram_used'), '1000000000\n');
  expect(await freeGpuMemory(machine())).toBe(7e9);
});

test('knows without loading anything where there can be no GPU', async () => {
  expect(await mayHaveGpu(machine())).toBe(false);
  expect(await mayHaveGpu(machine({ platform: 'darwin' }))).toBe(true);
  expect(await mayHaveGpu(machine({ env: { VK_ICD_FILENAMES: '/icd.json' } }))).toBe(true);
  await mkdir(join(root, 'dev/dri'), { recursive: true });
  await writeFile(join(root, 'dev/dri/card0'), '');
  expect(await mayHaveGpu(machine())).toBe(false);
  await writeFile(join(root, 'dev/dri/renderD128'), '');
  expect(await mayHaveGpu(machine())).toBe(true);
});
