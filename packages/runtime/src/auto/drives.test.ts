import { statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MetaTensor } from '@airllm/loader';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../testing/temporary';
import { drivesOf } from './drives';

/** A model that lies in these files. */
function lyingIn(files: readonly string[]) {
  const tensors = files.map((file, i) => {
    const extent = { file, offset: 0, length: 4 };
    return [`t${i}`, new MetaTensor({ name: `t${i}`, dtype: 'F32', shape: [1], extent })] as const;
  });
  return { tensors: new Map(tensors) };
}

test('files of one folder lie on one drive, also one that is not there', async () => {
  const dir = temporaryFolder();
  writeFileSync(join(dir, 'a'), 'data');
  writeFileSync(join(dir, 'b'), 'data');
  expect((await drivesOf(lyingIn([join(dir, 'a'), join(dir, 'b')]))).count).toBe(1);
  expect((await drivesOf(lyingIn([join(dir, 'gone')]))).count).toBe(1);
});

const elsewhere = (() => {
  try {
    return statSync('/dev/shm').dev !== statSync(tmpdir()).dev;
  } catch {
    return false;
  }
})();

test.skipIf(!elsewhere)('a link lies where its file does', async () => {
  const dir = temporaryFolder();
  const other = await mkdtemp('/dev/shm/airllm-drives-');
  onTestFinished(() => rm(other, { recursive: true }));
  writeFileSync(join(dir, 'a'), 'data');
  writeFileSync(join(other, 'b'), 'data');
  symlinkSync(join(other, 'b'), join(dir, 'b'));
  const { count, driveOf } = await drivesOf(lyingIn([join(dir, 'a'), join(dir, 'b')]));
  expect(count).toBe(2);
  expect(driveOf(join(dir, 'a'))).not.toBe(driveOf(join(dir, 'b')));
});
