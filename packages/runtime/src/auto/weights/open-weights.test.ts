import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PackedTensor } from '@airllm/kernels';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { listConverted } from './conversion-cache';
import { type ConversionProgress, openCompressed } from './open-weights';

const fixture = fileURLToPath(new URL('../../../../../apps/conformance/fixtures/llama', import.meta.url));

test('a compressed copy is made once, beside the converted one, and found again', async () => {
  const cacheDir = temporaryFolder();
  const told: ConversionProgress[] = [];
  const open = () => openCompressed(fixture, '4bit', { cacheDir, onConversion: (progress) => told.push(progress) });
  const { dir, tensors } = await open();
  expect([...tensors.values()].some((tensor) => PackedTensor.isInstance(tensor))).toBe(true);
  expect(told.at(-1)).toMatchObject({ dir, purpose: 'draft', quantisation: null });
  const count = told.length;
  expect((await open()).dir).toBe(dir);
  expect(told).toHaveLength(count);
  expect(await listConverted({ cacheDir })).toMatchObject([{ name: basename(dir), source: fixture, state: 'ready' }]);
  expect(await readdir(dir)).toContain('manifest.json');
});
