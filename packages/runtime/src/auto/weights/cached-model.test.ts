import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openReader } from '@airllm/loader';
import { expect, test } from 'vitest';
import type { Span } from '../../engine';
import { temporaryFolder } from '../../testing/temporary';
import { AutoModel } from '../auto-model';
import type { FromPretrainedOptions } from '../from-pretrained-options';

const fixture = fileURLToPath(new URL('../../../../../apps/conformance/fixtures/llama', import.meta.url));

test('a model in the page cache is computed with there, then in memory of its own, and gives the same', async (context) => {
  const dir = temporaryFolder();
  await cp(fixture, dir, { recursive: true });
  const reader = await openReader();
  const kind = await reader.kindOf(join(dir, 'model.safetensors'));
  await reader.close();
  if (kind !== 'direct') return context.skip('nothing is mapped on a drive without direct I/O');
  const request = { ids: [1, 5, 9], maxNewTokens: 6, ignoreEos: true, returnLogits: true };
  const open = (options: FromPretrainedOptions) => AutoModel.fromPretrained(dir, options);
  const spans: Span[] = [];
  await using mapped = await open({ observe: (span) => spans.push(span) });
  await using read = await open({ reader: 'direct' });
  const here = await read.generate(request);
  const there = await mapped.generate(request);
  const { weights } = mapped.info.plan.bytes;
  const segments = mapped.info.plan.segments.filter(({ bytes }) => bytes > 0).length;
  const spansOf = (track: Span['track']) => spans.filter((span) => span.track === track);
  expect(there.stats).toMatchObject({ bytesMapped: weights });
  expect(spansOf('map').length).toBe(segments);
  // A second after they were found, on however slow a machine.
  const found = spansOf('map')[0]!.end;
  expect(spansOf('read').filter(({ start }) => start < found + 900)).toEqual([]);
  expect(here.stats).toMatchObject({ bytesMapped: 0 });
  expect(here.stats.bytesRead).toBeGreaterThanOrEqual(weights);
  await expect.poll(() => spansOf('read').length).toBeGreaterThanOrEqual(segments);
  const moved = await mapped.generate(request);
  expect(moved.stats).toMatchObject({ bytesMapped: 0 });
  for (const { ids, logits } of [there, moved]) {
    expect(ids).toEqual(here.ids);
    expect(logits).toEqual(here.logits);
  }
});
