import { fileURLToPath } from 'node:url';
import { createExecutor } from '@airllm/kernels';
import { HostBuffer, openCheckpoint, openReader } from '@airllm/loader';
import { expect, test } from 'vitest';
import { Engine } from '../engine/engine';
import { buildModel } from '../models/registry';
import { wideLogitBytes } from './activations';
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
        // States grow later, and logits come with a pass; rotary tables and row numbers are not the engine's buffers.
        const { pinned, ring, experts, activations } = plan.bytes;
        const planned =
          pinned + ring + experts + activations - wideLogitBytes(model, plan.logitRows)(plan.passLogitRows);
        expect(allocated).toBeLessThanOrEqual(planned);
        expect(allocated).toBeGreaterThan(0.7 * planned);
        expect(HostBuffer.total()).toBe(before);
      }
      await reader.close();
    }
    await executor.dispose();
  },
);

test.each(['llama', 'gemma3_text'])('%s: a pass whose rows all want logits stays within the plan', async (name) => {
  const checkpoint = await openCheckpoint(fixtures + name);
  const model = buildModel(checkpoint.config, checkpoint);
  const executor = await createExecutor({ executor: 'reference' });
  const reader = await openReader({ kind: 'plain' });
  const counts = { contextLength: 64, maxRows: 48, logitRows: 5 };
  const plan = planResidency(model, { processBytes: 0, readAlignment: reader.alignment, ...counts });
  expect(plan.passLogitRows).toBe(48);
  // Rather than that weights leave memory, passes give fewer.
  const tight = { ...counts, memory: plan.bytes.total - 1 };
  const fewer = planResidency(model, { processBytes: 0, readAlignment: reader.alignment, ...tight });
  expect(fewer.streamedBytes).toBe(0);
  expect(fewer.passLogitRows).toBe(24);
  let most = 0;
  const observe = () => {
    most = Math.max(most, HostBuffer.total());
  };
  const before = HostBuffer.total();
  const engine = new Engine({ model, plan, executor, reader, observe });
  const idle = HostBuffer.total();
  const sequence = await engine.openSequence(48);
  const rows = Array.from({ length: 48 }, (_, position) => ({
    sequence,
    position,
    input: position,
    wantsLogits: true,
  }));
  const logits = await engine.step(rows);
  expect(engine.stats.passes).toBe(1);
  // More than five rows at a time come in parts, which have buffers of their own.
  expect(most).toBeGreaterThan(idle);
  const copies = logits.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const { pinned, ring, experts, activations, state } = plan.bytes;
  expect(most - before + copies).toBeLessThanOrEqual(pinned + ring + experts + activations + state);
  await engine.dispose();
  await reader.close();
  await executor.dispose();
});
