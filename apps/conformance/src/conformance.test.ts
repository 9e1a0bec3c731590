import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExecutorUnavailableError } from '@airllm/kernels';
import { describe, expect, it } from 'vitest';
import type { ConformanceOptions } from './args';
import { openModel } from './open-model';
import { runConformance } from './run';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const shared = fileURLToPath(new URL('../../../../shared', import.meta.url));

const required = process.env.AIRLLM_SHARED === 'required';
const hasShared = existsSync(shared) || required; // Required and missing: the tests run, and fail.
const hasNative = await nativeRuns();

const goldens = [
  ...['llama', 'llama-bf16', 'llama-mha-dynamic', 'llama-tied-linear', 'mistral', 'mistral-nemo', 'ministral'],
  ...['qwen2', 'qwen2-sliding', 'qwen2-yarn', 'qwen3', 'qwen3-bf16', 'gemma3_text', 'gemma3_text-bf16'],
  ...['phi3', 'gpt2', 'gpt_oss', 'mixtral', 'qwen3_moe', 'qwen3_moe-bf16'],
].map((name) => path.join(shared, 'golden', name));
const quantised = path.join(shared, 'golden-quant');
const quirks = ['st-no-prefix', 'st-shards-0based', 'st-tied-embed', 'st-tied-head', 'st-unordered'].map((name) =>
  path.join(shared, 'golden-quant', name),
);
const models = path.join(shared, 'models');

const modelTypes = 'gemma3_text gpt2 gpt_oss llama ministral mistral mixtral phi3 qwen2 qwen3 qwen3_moe'.split(' ');

/** Runs the checker; the lines that are not fine, so that a failing test shows them. */
async function complaints(paths: string[], options: Partial<ConformanceOptions>): Promise<string[]> {
  const lines: string[] = [];
  await runConformance({ paths, skipUnsupported: false, ...options }, (line) => lines.push(line));
  return lines.slice(0, -1).filter((line) => !line.startsWith('ok '));
}

async function nativeRuns(): Promise<boolean> {
  try {
    await (await openModel(path.join(fixtures, 'llama'), { executor: 'native' })).dispose();
    return true;
  } catch (error) {
    if (ExecutorUnavailableError.isInstance(error)) return false;
    throw error;
  }
}

describe('committed fixtures', () => {
  it('agree on the reference executor', async () => {
    expect(await complaints([fixtures], { executor: 'reference' })).toEqual([]);
  });

  it.skipIf(!hasNative).each([{}, { threads: 1 }, { weightsMemory: 'smallest' }])(
    'agree on the native executor with %j',
    async (options) => {
      expect(await complaints([fixtures], { executor: 'native', ...options })).toEqual([]);
    },
  );

  it('agree on onnxruntime on the CPU', async () => {
    expect(await complaints([fixtures], { executor: 'onnx' })).toEqual([]);
  });

  it('compute the same where weights stay in sessions of onnxruntime', async () => {
    const goldens = ['llama', 'gemma3_text'].map((name) => path.join(fixtures, name));
    const options = { device: 'gpu', provider: 'cpu', vram: '500MB', threads: 2 } as const;
    expect(await complaints(goldens, options)).toEqual([]);
    const model = await openModel(goldens[0]!, options);
    const { resident } = model.info.plan.device!;
    await model.dispose();
    expect(resident).not.toContain(false);
  });

  it('hold every model type of this version', () => {
    const config = (name: string) => readFileSync(path.join(fixtures, name, 'config.json'), 'utf8');
    const types = new Set(readdirSync(fixtures).map((name) => JSON.parse(config(name)).model_type));
    expect([...types].sort()).toEqual(modelTypes);
  });
});

describe.skipIf(!hasShared)('shared goldens', () => {
  it('agree on the reference executor', async () => {
    expect(await complaints([...goldens, ...quirks], { executor: 'reference' })).toEqual([]);
  });

  it.skipIf(!hasNative).each([{}, { weightsMemory: 'smallest' }])(
    'agree on the native executor with %j',
    async (options) => {
      expect(await complaints([...goldens, ...quirks], { executor: 'native', ...options })).toEqual([]);
    },
    180_000,
  );

  // Every published format, run in place or converted first; malformed files are refused.
  it.skipIf(!hasNative).each([{}, { weightsMemory: 'smallest' }])(
    'of quantised weights agree on the native executor with %j',
    async (options) => {
      expect(await complaints([quantised], { executor: 'native', ...options })).toEqual([]);
    },
    300_000,
  );
});

// With the least memory, too: same-bytes.test.ts.
it.skipIf(!hasShared || !hasNative)('trained models say what transformers says', async () => {
  expect(await complaints([models], { executor: 'native' })).toEqual([]);
});
