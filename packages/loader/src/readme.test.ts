import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readmeExamples } from '../../../.ci/readme';
import { writeSafetensors } from './safetensors/safetensors-writer';
import { temporaryFolder } from './testing/folder';

const dir = temporaryFolder();

test('the program in the README does what it says', async () => {
  const data = new Uint8Array(new Float32Array(512).fill(0.25).buffer);
  mkdirSync(join(dir, 'model'));
  await writeSafetensors(join(dir, 'model/model.safetensors'), [
    { name: 'model.embed_tokens.weight', dtype: 'F32', shape: [8, 64], data },
    { name: 'model.norm.weight', dtype: 'F32', shape: [64], data: data.subarray(0, 256) },
  ]);
  const [example, ...more] = readmeExamples(new URL('../README.md', import.meta.url));
  const { stdout } = await example!.run({ cwd: dir });
  expect(more).toEqual([]);
  expect(stdout).toBe(
    'single: 2 tensors, 2304 bytes\nmodel.embed_tokens.weight F32 [8,64] 2048\nmodel.norm.weight F32 [64] 256\n0.25\n',
  );
});
