import { readFileSync } from 'node:fs';
import { createExecutor } from '@airllm/kernels';
import { openCheckpoint, openSafetensors } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { cutSegments } from '../plan/segments';
import { runSegments } from '../testing/run-segments';
import { haveShared, shared, sharedFolders } from '../testing/shared';
import { architectureOf, buildModel } from './registry';

const configOf = (path: string) => JSON.parse(readFileSync(shared(`${path}/config.json`), 'utf8'));
const goldens = sharedFolders('golden')
  .map((name) => `golden/${name}`)
  .concat(
    sharedFolders('golden-quant')
      .filter((name) => /^st-(?!dtypes)/.test(name))
      .map((name) => `golden-quant/${name}`),
  )
  .filter((path) => architectureOf(configOf(path).model_type));

async function tensor(path: string, name: string) {
  const { tensors } = await openSafetensors(shared(`${path}/expected.safetensors`));
  const host = await tensors.get(name)!.materialize();
  return { shape: host.shape, values: Array.from(host.toElements() as ArrayLike<number | bigint>, Number) };
}

describe.skipIf(!haveShared())('goldens of the implemented model types', () => {
  test('are found', () => {
    expect(goldens.length).toBeGreaterThanOrEqual(17);
  });

  test.each(goldens)('%s: logits are those of transformers, whole and cut finely', async (path) => {
    const checkpoint = await openCheckpoint(shared(path));
    const model = buildModel(checkpoint.config, checkpoint);
    const ids = (await tensor(path, 'input_ids')).values;
    const expected = await tensor(path, 'logits');
    const executor = await createExecutor({ executor: 'reference' });
    for (const segmentBytes of [2 ** 26, 5000]) {
      const segments = cutSegments(model, { segmentBytes, readAlignment: 1 });
      const logits = await runSegments(executor, model, segments, ids);
      expect(logits.length).toBe(expected.values.length);
      const error = expected.values.reduce((most, value, i) => Math.max(most, Math.abs(value - logits[i]!)), 0);
      expect(error).toBeLessThan(2e-4);
    }
    await executor.dispose();
  });
});
