import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { splitCheckpoint } from '@airllm/shard';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { listSharded, recordSharded, removeSharded } from './sharded-copies';

const fixture = fileURLToPath(new URL('../../../../../apps/conformance/fixtures/llama', import.meta.url));

test('split checkpoints are found while they are where they were written, and go without what is not theirs', async () => {
  const cacheDir = temporaryFolder();
  const dir = join(temporaryFolder(), 'out');
  const { bytesWritten } = await splitCheckpoint(fixture, dir);
  expect(await listSharded({ cacheDir })).toEqual([]);
  await recordSharded(dir, fixture, { cacheDir });
  await recordSharded(dir, fixture, { cacheDir });
  expect(await listSharded({ cacheDir })).toEqual([{ dir, source: fixture, bytes: expect.closeTo(bytesWritten, -4) }]);
  renameSync(dir, `${dir} elsewhere`);
  expect(await listSharded({ cacheDir })).toEqual([]);
  renameSync(`${dir} elsewhere`, dir);

  writeFileSync(join(dir, 'notes.txt'), 'mine');
  const removed = await removeSharded(dir, { cacheDir });
  expect(removed!.bytes).toBeGreaterThan(200_000);
  expect(readdirSync(dir)).toEqual(['notes.txt']);
  expect(await listSharded({ cacheDir })).toEqual([]);
  expect(await removeSharded(dir, { cacheDir })).toBeUndefined();
  expect(existsSync(fixture)).toBe(true);
});
