import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { splitCheckpoint } from '@airllm/shard';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ModelOptions, openModel } from './open-model';

// Neither the memory granted nor where the weights lie may change a single bit of a logit.

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const models = fileURLToPath(new URL('../../../../shared/models', import.meta.url));
const hasModels = existsSync(models) || process.env.AIRLLM_SHARED === 'required';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(path.join(tmpdir(), 'conformance split #'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

/** A digest of the logits that four greedy tokens were chosen from. */
async function digest(dir: string, ids: readonly number[], options: ModelOptions): Promise<string> {
  const model = await openModel(dir, options);
  try {
    const result = await model.generate({
      ids,
      maxNewTokens: 4,
      doSample: false,
      ignoreEos: true,
      returnLogits: true,
    });
    const hash = createHash('sha256');
    for (const logits of result.logits!)
      hash.update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength));
    return hash.digest('hex');
  } finally {
    await model.dispose();
  }
}

async function split(dir: string): Promise<string> {
  const target = path.join(scratch, path.basename(dir));
  await splitCheckpoint(dir, target);
  return target;
}

async function digests(dir: string, ids: readonly number[]): Promise<string[]> {
  const layered = await split(dir);
  const all: string[] = [];
  for (const folder of [dir, layered]) {
    for (const options of [{}, { weightsMemory: 'smallest' }]) all.push(await digest(folder, ids, options));
  }
  return all;
}

describe('logits are the same bytes, unsplit and split, with all memory and with the least', () => {
  it.each(['llama-linear-sharded-bf16', 'qwen3', 'gpt2', 'mixtral', 'phi3-longrope-long'])('%s', async (name) => {
    const found = await digests(path.join(fixtures, name), [5, 40, 7, 101, 33]);
    expect(new Set(found).size).toBe(1);
  });

  describe.skipIf(!hasModels)('trained models', () => {
    it.each(['minimind2-small', 'stories15M', 'stories15M-mixtral', 'stories260K'])('%s', async (name) => {
      const dir = path.join(models, name);
      const { cases } = JSON.parse(readFileSync(path.join(dir, 'expected.json'), 'utf8'));
      expect(new Set(await digests(dir, cases[0].prompt_ids)).size).toBe(1);
    });
  });
});
