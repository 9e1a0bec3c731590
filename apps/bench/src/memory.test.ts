import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cgroupObstacle, dropCaches, runInCgroup } from './cgroup';
import { writeSynthetic } from './synthetic';

// The process itself is what dominates here: Node, our code, and a tokenizer of 128k entries.
const MEMORY = 600e6;
const obstacle = cgroupObstacle();

const shape = {
  model_type: 'llama',
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  vocab_size: 128_256,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000,
  tie_word_embeddings: true,
};

const program = (dir: string) => `
  import { AutoModel } from '@airllm/runtime';
  const model = await AutoModel.fromPretrained(${JSON.stringify(dir)}, { memory: ${MEMORY}, contextLength: 256 });
  const { ids } = await model.generate({ prompt: 'hello', maxNewTokens: 3, ignoreEos: true });
  console.log(JSON.stringify({ ids, rss: process.resourceUsage().maxRSS * 1024, plan: model.info.plan.bytes }));
  await model.dispose();
`;

describe.skipIf(obstacle !== null)(`under a memory cgroup${obstacle === null ? '' : ` (skipped: ${obstacle})`}`, () => {
  let dir: string;
  let bytes: number;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'airllm-cgroup-'));
    bytes = await writeSynthetic(dir, shape);
  }, 300_000);
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test('a checkpoint four times larger than the limit runs to the end, within the limit', async () => {
    expect(bytes).toBeGreaterThan(4 * MEMORY);
    dropCaches();
    const cwd = fileURLToPath(new URL('..', import.meta.url));
    const run = await runInCgroup({ memory: MEMORY }, [process.execPath, '--input-type=module', '-e', program(dir)], {
      cwd,
    });
    expect(run.stderr).toBe('');
    expect(run.oomKills).toBe(0);
    expect(run.code).toBe(0);
    expect(JSON.parse(run.stdout).ids).toHaveLength(3);
    expect(run.peakBytes).toBeLessThanOrEqual(MEMORY);
  }, 300_000);
});
