import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createExecutor } from '@airllm/kernels';
import { openCheckpoint, openReader } from '@airllm/loader';
import { expect, test } from 'vitest';
import { grantOf } from '../../auto/device/open-device';
import { openPromptCaches } from '../../auto/prompt-caches';
import { Engine, type Sequence } from '../../engine';
import { buildModel } from '../../models/registry';
import { planResidency } from '../../plan/residency';
import { PromptCacheError } from '../../state-errors';
import { temporaryFolder } from '../../testing/temporary';

const provider = process.env.AIRLLM_TEST_GPU === undefined ? 'cpu' : 'webgpu';
const PROMPT = Array.from({ length: 70 }, (_, i) => 3 + ((i * 37) % 90));
const LENGTH = 100;

/** A model whose keys and values lie on a device: of all layers, or of those that are named. */
async function open(name: string, kvCacheDtype: 'float32' | 'int8', blocks: 'all' | readonly number[]) {
  const dir = fileURLToPath(new URL(`../../../../../apps/conformance/fixtures/${name}`, import.meta.url));
  const checkpoint = await openCheckpoint(dir);
  const model = buildModel(checkpoint.config, checkpoint, { kvCacheDtype });
  const reader = await openReader({ kind: 'plain' });
  const executor = await createExecutor({ executor: 'reference' });
  const deviceExecutor = await createExecutor({ executor: 'onnx', provider, threads: 1, deviceMemory: 1e8 });
  const device = grantOf(deviceExecutor, blocks);
  const plan = planResidency(model, {
    processBytes: 0,
    contextLength: LENGTH,
    readAlignment: reader.alignment,
    device,
  });
  const engine = new Engine({ model, plan, executor, reader, deviceExecutor });
  const warnings: string[] = [];
  const caches = openPromptCaches({ engine, executor, kvCacheDtype, onWarning: (line) => warnings.push(line) });
  const dispose = async () => {
    await engine.dispose();
    for (const each of [executor, deviceExecutor]) await each.dispose();
    await reader.close();
  };
  return { engine, caches, warnings, dispose };
}

function run(engine: Engine, sequence: Sequence, from: number, to: number): Promise<Float32Array[]> {
  const rows = PROMPT.slice(from, to).map((input, n) => ({
    sequence,
    position: from + n,
    input,
    ropeLength: PROMPT.length,
    wantsLogits: from + n === to - 1,
  }));
  return engine.step(rows);
}

test.each([
  ['llama', 'float32', 'all'],
  ['gemma3_text', 'int8', 'all'],
  ['llama', 'int8', [1]],
] as const)(
  'keys and values of %s (%s) on a device are saved and restored to the byte (%s)',
  async (name, dtype, blocks) => {
    const file = join(temporaryFolder(), 'prompt.safetensors');
    const known = PROMPT.slice(0, 69);
    const first = await open(name, dtype, blocks);
    const sequence = await first.engine.openSequence(LENGTH);
    await first.caches.restore(file, sequence, PROMPT);
    expect(first.caches.reused(sequence)).toBe(0);
    await run(first.engine, sequence, 0, known.length);
    await first.caches.save({ sequence, history: known, promptLength: PROMPT.length });
    expect(first.warnings).toEqual([]);
    const expected = await run(first.engine, sequence, known.length, PROMPT.length);
    sequence.dispose();
    await first.dispose();

    const second = await open(name, dtype, blocks);
    const restored = await second.engine.openSequence(LENGTH);
    await second.caches.restore(file, restored, PROMPT);
    expect(second.caches.reused(restored)).toBe(known.length);
    expect(await run(second.engine, restored, known.length, PROMPT.length)).toEqual(expected);
    restored.dispose();
    await second.dispose();

    // Where others compute, the bytes would be others.
    const other = await open(name, dtype, [0]);
    const refused = await other.engine.openSequence(LENGTH);
    const error = await other.caches.restore(file, refused, PROMPT).catch((cause: unknown) => cause);
    expect(PromptCacheError.isInstance(error)).toBe(true);
    expect((error as Error).message).toContain('a device that computed');
    refused.dispose();
    await other.dispose();
  },
);
