import { expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { planResidency } from './residency';
import { summarisePlan } from './summary';

const GIB = 2 ** 30;
const options = { processBytes: GIB / 4, contextLength: 4096, readAlignment: 4096 };

test('a dense plan: what is not pinned is streamed', () => {
  const plan = planResidency(buildModel({ model_type: 'llama' }, { dtype: 'F16' }), { ...options, memory: 8 * GIB });
  const summary = summarisePlan(plan);
  expect(summary.pinned).toBeGreaterThan(0);
  expect(summary.pinned + summary.streamedPerPass).toBe(summary.weights);
  expect(summary.streamedStatic).toBe(summary.streamedPerPass);
  expect(summary.total).toBe(summary.pinned + summary.ring + summary.state + summary.activations + summary.process);
  expect(summary.segments.pinned).toBeLessThan(summary.segments.count);
  expect(4 * summary.segments.largest).toBeLessThanOrEqual(summary.ring);
  expect(summary.floor.memory).toBeLessThan(8 * GIB);
});

test('a plan with routed experts: they may be read, the rest stays', () => {
  const plan = planResidency(buildModel({ model_type: 'mixtral' }, { dtype: 'BF16' }), {
    ...options,
    memory: 16 * GIB,
  });
  const summary = summarisePlan(plan);
  expect(summary.streamedStatic).toBe(0);
  expect(summary.streamedPerPass).toBe(summary.weights - summary.pinned);
  expect(summary.expertSlots.count).toBeLessThan(summary.expertSlots.parts);
});
