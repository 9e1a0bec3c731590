import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openReader } from '@airllm/loader';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../testing/temporary';
import { AutoModel } from './auto-model';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));

test('a model in the page cache is computed with there, with the tokens it gives from memory of its own', async (context) => {
  const dir = temporaryFolder();
  await cp(fixture, dir, { recursive: true });
  const reader = await openReader();
  const kind = await reader.kindOf(join(dir, 'model.safetensors'));
  await reader.close();
  if (kind !== 'direct') return context.skip('nothing is mapped on a drive without direct I/O');
  const request = { ids: [1, 5, 9], maxNewTokens: 6, ignoreEos: true, returnLogits: true };
  const open = (reader: 'auto' | 'direct') => AutoModel.fromPretrained(dir, { executor: 'reference', reader });
  await using mapped = await open('auto');
  await using read = await open('direct');
  const there = await mapped.generate(request);
  const here = await read.generate(request);
  const { weights } = mapped.info.plan.bytes;
  expect(there.stats).toMatchObject({ bytesMapped: weights });
  expect(there.stats.bytesRead).toBeLessThan(weights);
  expect(here.stats).toMatchObject({ bytesMapped: 0 });
  expect(here.stats.bytesRead).toBeGreaterThanOrEqual(weights);
  expect(there.ids).toEqual(here.ids);
  expect(there.logits).toEqual(here.logits);
});
