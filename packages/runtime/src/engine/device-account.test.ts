import { fileURLToPath } from 'node:url';
import { createExecutor } from '@airllm/kernels';
import { openCheckpoint, openReader } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { grantOf } from '../auto/device/open-device';
import { BudgetError } from '../errors';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import { Engine } from './engine';

const fixtures = fileURLToPath(new URL('../../../../apps/conformance/fixtures/', import.meta.url));
const provider = process.env.AIRLLM_TEST_GPU === undefined ? 'cpu' : 'webgpu';

/** Runs a prompt and two tokens with that much of a device, and tells what was planned and what it came to. */
async function measure(name: string, vram: number, contextLength: number) {
  const checkpoint = await openCheckpoint(`${fixtures}${name}`);
  const model = buildModel(checkpoint.config, checkpoint);
  const reader = await openReader({ kind: 'plain' });
  const executor = await createExecutor({ executor: 'reference' });
  const deviceExecutor = await createExecutor({ executor: 'onnx', provider, threads: 1, deviceMemory: vram });
  const device = deviceExecutor.device!;
  try {
    const plan = planResidency(model, {
      processBytes: 0,
      contextLength,
      readAlignment: reader.alignment,
      device: grantOf(deviceExecutor, 'all'),
    });
    const engine = new Engine({ model, plan, executor, reader, deviceExecutor });
    const sequence = await engine.openSequence(contextLength);
    const rows = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, n) => ({
        sequence,
        position: from + n,
        input: 5 + (n % 90),
        wantsLogits: from + n === to - 1,
      }));
    await engine.step(rows(0, contextLength - 2));
    for (const position of [contextLength - 2, contextLength - 1]) await engine.step(rows(position, position + 1));
    const { most } = (await engine.deviceMemory())!;
    const kept = device.usedBytes;
    sequence.dispose();
    await engine.dispose();
    return { most, kept, planned: plan.device!.bytes, staging: plan.bytes.staging };
  } finally {
    await deviceExecutor.dispose();
    await executor.dispose();
    await reader.close();
  }
}

async function floorOf(name: string, contextLength: number): Promise<number> {
  const error = await measure(name, 1, contextLength).catch((error: unknown) => error);
  if (BudgetError.isInstance(error)) return error.floor;
  throw error;
}

describe.each(['llama', 'gemma3_text', 'mixtral'])('what %s takes of a device', (name) => {
  test.each([40, 250])('stays within what was granted for %i positions', async (contextLength) => {
    const floor = await floorOf(name, contextLength);
    // Of the one in the middle some parts stay.
    for (const vram of [floor, Math.ceil(1.1 * floor), 64 * 2 ** 20]) {
      const { most, kept, planned } = await measure(name, vram, contextLength);
      expect(planned.total).toBeLessThanOrEqual(vram);
      expect(most).toBeLessThanOrEqual(planned.total);
      // All of this was there when the last pass had ended.
      expect(kept).toBe(planned.state + planned.weights);
    }
  });
});

test('a small model loses little of a small device', async () => {
  const { planned, staging } = await measure('llama', 64 * 2 ** 20, 64);
  expect(planned.activations + planned.staging).toBeLessThan(16 * 2 ** 20);
  expect(staging).toBeGreaterThan(0);
});
