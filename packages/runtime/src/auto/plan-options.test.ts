import { fileURLToPath } from 'node:url';
import type { ExecutorInfo } from '@airllm/kernels';
import { openCheckpoint } from '@airllm/loader';
import { expect, test, vi } from 'vitest';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import { resolvePlanOptions } from './plan-options';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));

test('a plan counts what the executor takes for itself: with tiles of bf16 4 MiB, otherwise nothing', async () => {
  const checkpoint = await openCheckpoint(fixture);
  const model = buildModel(checkpoint.config, checkpoint);
  // The process itself grows while tests run.
  vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(100e6);
  const plan = async (executor?: Pick<ExecutorInfo, 'isa' | 'computeDtype'>) => {
    const info = executor && ({ name: 'native', threads: 2, ...executor } as const);
    return planResidency(model, await resolvePlanOptions(fixture, model, { memory: '1GB' }, 'plain', info));
  };
  const without = await plan();
  const tiles = await plan({ isa: 'amxbf16', computeDtype: 'bfloat16' });
  expect(tiles.bytes.process).toBe(without.bytes.process + 4 * 2 ** 20);
  expect(tiles.bytes.total).toBe(without.bytes.total + 4 * 2 ** 20);
  expect(tiles.floor.memory).toBe(without.floor.memory + 4 * 2 ** 20);
  expect((await plan({ isa: 'amxbf16', computeDtype: 'float32' })).bytes).toEqual(without.bytes);
  expect((await plan({ isa: 'avx512bf16', computeDtype: 'bfloat16' })).bytes).toEqual(without.bytes);
});
