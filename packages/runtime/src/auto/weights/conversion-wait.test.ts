import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '@airllm/loader';
import { TargetLock } from '@airllm/shard';
import { expect, test } from 'vitest';
import type { Delay } from '../../delay';
import { randomGguf } from '../../testing/random-gguf';
import { temporaryFolder } from '../../testing/temporary';
import { AutoModel } from '../auto-model';
import { conversionDir, conversionRoot, listConverted } from './conversion-cache';

const REQUEST = { ids: [1, 5, 9], maxNewTokens: 2, ignoreEos: true };

async function convertedElsewhere() {
  const cacheDir = temporaryFolder();
  const source = join(cacheDir, 'model.gguf');
  writeFileSync(source, randomGguf({ layers: 2, vocab: 64 }));
  await makeFolder(conversionRoot({ cacheDir }));
  const copy = await conversionDir(source, { cacheDir });
  const lock = await TargetLock.acquire(`${copy}.lock`);
  return { cacheDir, source, copy, lock };
}

test('a model that another process converts is waited for, and taken over when that one gives up', async () => {
  const { source, copy, lock, cacheDir } = await convertedElsewhere();
  let opening: ReturnType<typeof AutoModel.fromPretrained>;
  const said = new Promise<Delay>((onDelay) => {
    opening = AutoModel.fromPretrained(source, { executor: 'reference', cacheDir, onDelay });
  });
  expect(await said).toMatchObject({ type: 'waiting', for: 'conversion', dir: copy, pid: process.pid });
  expect(await listConverted({ cacheDir })).toEqual([]);
  await lock.release();
  await using model = await opening!;
  expect((await model.generate(REQUEST)).ids).toHaveLength(2);
  expect(await listConverted({ cacheDir })).toMatchObject([{ state: 'ready' }]);
});

test('two that open one model at a time make one copy of it', async () => {
  const { source, cacheDir, lock } = await convertedElsewhere();
  await lock.release();
  const converting = new Set<number>();
  const open = (who: number) =>
    AutoModel.fromPretrained(source, { executor: 'reference', cacheDir, onConversion: () => converting.add(who) });
  const models = await Promise.all([0, 1, 2].map(open));
  expect(converting.size).toBe(1);
  const texts = await Promise.all(models.map(async (model) => (await model.generate(REQUEST)).ids));
  expect(texts[1]).toEqual(texts[0]);
  for (const model of models) await model.dispose();
});

test('an abort ends the wait', async () => {
  const { source, cacheDir, lock } = await convertedElsewhere();
  const controller = new AbortController();
  const onDelay = () => controller.abort(new Error('enough'));
  const opening = AutoModel.fromPretrained(source, {
    executor: 'reference',
    cacheDir,
    onDelay,
    signal: controller.signal,
  });
  await expect(opening).rejects.toThrow('enough');
  await lock.release();
});
