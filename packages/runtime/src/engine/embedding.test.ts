import { fileURLToPath } from 'node:url';
import { createExecutor } from '@airllm/kernels';
import { openCheckpoint, openReader } from '@airllm/loader';
import { expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import { Engine } from './engine';

const llama = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));

test('rows of tokens that come again are not read again, as long as they are kept', async () => {
  const checkpoint = await openCheckpoint(llama);
  const model = buildModel(checkpoint.config, checkpoint);
  const reader = await openReader({ kind: 'plain' });
  const executor = await createExecutor({ executor: 'reference' });
  const options = { processBytes: 0, contextLength: 64, readAlignment: reader.alignment, maxRows: 2 };
  const engine = new Engine({ model, plan: planResidency(model, options), executor, reader });
  const run = async (ids: readonly number[]) => {
    using sequence = await engine.openSequence(8);
    const before = reader.stats.requests;
    const rows = ids.map((input, position) => ({ sequence, position, input, wantsLogits: true }));
    const logits = await engine.step(rows);
    return { logits, requests: reader.stats.requests - before };
  };
  const first = await run([5, 9]);
  expect(await run([5, 9])).toEqual({ logits: first.logits, requests: 0 });
  expect((await run([9, 3])).requests).toBe(1);
  // Two rows a pass, two kept for each: 5 is the fifth from the last.
  expect((await run([7, 8])).requests).toBe(2);
  expect(await run([5, 9])).toEqual({ logits: first.logits, requests: 1 });
  await engine.dispose();
  await executor.dispose();
  await reader.close();
});
