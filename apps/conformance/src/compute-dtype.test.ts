import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readExpected } from './expected';
import { type ModelOptions, openModel } from './open-model';

const fixture = fileURLToPath(new URL('../fixtures/llama-linear-sharded-bf16', import.meta.url));
const golden = fileURLToPath(new URL('../../../../shared/golden/llama-bf16', import.meta.url));
const hasGolden = existsSync(path.dirname(golden)) || process.env.AIRLLM_SHARED === 'required';

/** Of the logits, root mean square over root mean square: each of some ten products in a row adds about 0.2 %. */
const TOLERANCE = 2e-2;
/** Float32 comes far closer: an error below this means that nothing was rounded. */
const LEAST_ERROR = 1e-4;

/** Prompt logits, then greedy tokens and their logits. */
async function run(dir: string, options: ModelOptions) {
  const { inputIds, generated, logits: expected } = await readExpected(dir);
  const contextLength = inputIds.length + generated.length;
  const model = await openModel(dir, { ...options, computeDtype: 'bfloat16', contextLength });
  try {
    expect(model.info.computeDtype).toBe('bfloat16');
    const logits = await model.logits(inputIds);
    const request = { ids: inputIds, maxNewTokens: generated.length, doSample: false, ignoreEos: true };
    const { ids, logits: steps } = await model.generate({ ...request, returnLogits: true });
    const error = rms(logits.map((logit, i) => logit - expected[i]!)) / rms(expected);
    return { error, logits, ids, steps };
  } finally {
    await model.dispose();
  }
}

function rms(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

describe.each([
  ['the fixture', fixture, true],
  ['the shared golden', golden, hasGolden],
])('bf16 weights under bfloat16, %s', (_, dir, here) => {
  it.skipIf(!here)('come near the logits of float32, on either executor', async () => {
    for (const executor of ['reference', 'auto'] as const) {
      const { error } = await run(dir, { executor });
      expect(error).toBeLessThan(TOLERANCE);
      expect(error).toBeGreaterThan(LEAST_ERROR);
    }
  });

  it.skipIf(!here)('give the same bytes at every budget and number of threads', async () => {
    const { ids, logits, steps } = await run(dir, {});
    const others: ModelOptions[] = [
      { weightsMemory: 'smallest' },
      { threads: 1 },
      { threads: 3, weightsMemory: 'smallest' },
    ];
    for (const options of others) {
      const other = await run(dir, options);
      expect(other.ids).toEqual(ids);
      expect(other.logits).toEqual(logits);
      expect(other.steps).toEqual(steps);
    }
  });
});
