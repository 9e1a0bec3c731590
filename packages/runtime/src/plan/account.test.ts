import { fileURLToPath } from 'node:url';
import { createExecutor } from '@airllm/kernels';
import { HostBuffer, openCheckpoint, openReader } from '@airllm/loader';
import { expect, test } from 'vitest';
import { Engine } from '../engine/engine';
import { buildModel } from '../models/registry';
import { planResidency } from './residency';

const fixtures = fileURLToPath(new URL('../../../../apps/conformance/fixtures/', import.meta.url));

test.each(['llama', 'gemma3_text', 'gpt2', 'mixtral'])(
  '%s: an engine allocates what its plan says, and no more',
  async (name) => {
    const checkpoint = await openCheckpoint(fixtures + name);
    const model = buildModel(checkpoint.config, checkpoint);
    const executor = await createExecutor({ executor: 'reference' });
    for (const kind of ['direct', 'plain'] as const) {
      const reader = await openReader({ kind });
      const options = { processBytes: 0, contextLength: 64, readAlignment: reader.alignment };
      const { weightsMemory } = planResidency(model, options).floor;
      for (const plan of [
        planResidency(model, options),
        planResidency(model, { ...options, weightsMemory, maxRows: 7 }),
      ]) {
        const before = HostBuffer.total();
        const engine = new Engine({ model, plan, executor, reader });
        const allocated = HostBuffer.total() - before;
        await engine.dispose();
        // States grow later; rotary tables, row numbers and the copy of the logits are not the engine's buffers.
        const { pinned, ring, experts, activations } = plan.bytes;
        const planned = pinned + ring + experts + activations;
        expect(allocated).toBeLessThanOrEqual(planned);
        expect(allocated).toBeGreaterThan(0.7 * planned);
        expect(HostBuffer.total()).toBe(before);
      }
      await reader.close();
    }
    await executor.dispose();
  },
);
