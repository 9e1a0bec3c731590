import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GenerateRequest, GenerateResult } from '@airllm/runtime';
import { describe, expect, it } from 'vitest';
import { openModel } from './open-model';

// Whom a sequence shares its passes with may not change a single bit of its logits.

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const models = fileURLToPath(new URL('../../../../shared/models', import.meta.url));
const hasModels = existsSync(models) || process.env.AIRLLM_SHARED === 'required';

/** More sequences than have their logits computed together, of many lengths, drawn and greedy. */
function requests(ids: readonly number[]): GenerateRequest[] {
  return Array.from({ length: 18 }, (_, i) => ({
    ids: Array.from({ length: 1 + ((i * 7) % 24) }, (_, k) => ids[(i + k) % ids.length]!),
    maxNewTokens: 2 + (i % 3),
    ignoreEos: true,
    returnLogits: true,
    ...(i % 2 === 0 ? { doSample: false } : { temperature: 0.9, seed: i }),
  }));
}

function digest({ ids, logits }: GenerateResult): string {
  const hash = createHash('sha256').update(Int32Array.from(ids));
  for (const row of logits!) hash.update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
  return hash.digest('hex');
}

async function compare(dir: string, ids: readonly number[]): Promise<void> {
  const alone: string[] = [];
  {
    await using model = await openModel(dir, {});
    for (const request of requests(ids)) alone.push(digest(await model.generate(request)));
  }
  for (const options of [{}, { weightsMemory: 'smallest' }]) {
    await using model = await openModel(dir, options);
    const together: string[] = [];
    for await (const { index, result, error } of model.generateBatch(requests(ids))) {
      if (error !== undefined) throw error;
      together[index] = digest(result!);
    }
    expect(together).toEqual(alone);
    const { passes, rows } = model.engine.stats;
    expect(rows / passes).toBeGreaterThan(8);
  }
}

describe('logits are the same bytes alone and in company', () => {
  it.each(['llama', 'gemma3_text', 'gpt_oss', 'mixtral', 'qwen2-yarn-long'])('%s', async (name) => {
    await compare(path.join(fixtures, name), [5, 40, 7, 101, 33]);
  });

  describe.skipIf(!hasModels)('trained models', () => {
    it.each(['minimind2-small', 'stories15M', 'stories15M-mixtral', 'stories260K'])('%s', async (name) => {
      const dir = path.join(models, name);
      const { cases } = JSON.parse(readFileSync(path.join(dir, 'expected.json'), 'utf8'));
      await compare(dir, cases[0].prompt_ids);
    });
  });
});
