import path from 'node:path';
import { expect, test } from 'vitest';
import { readmeExamples } from '../../../.ci/readme';
import { writeCheckpoint } from './testing/checkpoints';
import { temporaryFolder } from './testing/temporary';

test('the program of the README splits and verifies', async () => {
  const cwd = temporaryFolder();
  await writeCheckpoint(path.join(cwd, 'model'), { layers: 2 });
  const [program] = readmeExamples(new URL('../README.md', import.meta.url));
  const { stdout, stderr } = await program!.run({ cwd });
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^100 %, 0 s left$/m);
  expect(stdout).toMatch(/^model\.layers\.01\.safetensors \d+$/m);
  expect(stdout).toMatch(/^23 tensors, \d+ bytes: all as written$/m);
});

test('the second program of the README tells what a model is', async () => {
  const cwd = temporaryFolder();
  await writeCheckpoint(path.join(cwd, 'model'), { layers: 1, int8: true });
  const [, program] = readmeExamples(new URL('../README.md', import.meta.url));
  const { stdout, stderr } = await program!.run({ cwd });
  expect(stderr).toBe('');
  expect(stdout).toBe('safetensors, bitsandbytes: 13 tensors, 0 to be converted\n');
});
