import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openCheckpoint } from '@airllm/loader';
import { afterAll, expect, test } from 'vitest';
import { shapeConfig } from './shapes';
import { writeSparse } from './sparse-checkpoint';

const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm bench#'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test.skipIf(process.platform === 'win32')('a sparse checkpoint of 70B opens, and takes no room', async () => {
  const bytes = await writeSparse(dir, shapeConfig('llama-70b'));
  expect(bytes).toBeGreaterThan(130e9);
  const checkpoint = await openCheckpoint(dir);
  expect(checkpoint.byteLength).toBe(bytes);
  expect(checkpoint.tensors.get('model.layers.79.mlp.down_proj.weight')!.shape).toEqual([8192, 28672]);
  const blocks = readdirSync(dir).reduce((sum, name) => sum + statSync(path.join(dir, name)).blocks, 0);
  expect(blocks * 512).toBeLessThan(10e6);
});
