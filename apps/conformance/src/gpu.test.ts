import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const { softwareGpu } = await import(path.join(root, '.ci', 'swiftshader.mjs'));
const gpu: NodeJS.ProcessEnv | undefined = softwareGpu();

// In a process of its own: the driver is found by the environment it starts with.
it.skipIf(gpu === undefined).each([
  ['gpu', '2GB'],
  ['auto', '500MB'],
])(
  'goldens agree where the GPU computes (--device %s --vram %s), on a software one',
  async (device, vram) => {
    const goldens = ['llama', 'gemma3_text'].map((name) => path.join(root, 'apps/conformance/fixtures', name));
    const bin = path.join(root, 'apps/conformance/dist/bin.js');
    const args = [bin, '--device', device, '--vram', vram, ...goldens];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...gpu } });
    expect(stderr).not.toContain('computing on the CPU');
    expect(stdout).toMatch(/2 passed, 0 failed\n$/);
  },
  400_000,
);
