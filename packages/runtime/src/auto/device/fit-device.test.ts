import { OnnxError } from '@airllm/kernels';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BudgetError } from '../../errors';
import { planResidency } from '../../plan/residency';
import { laidOut } from '../../testing/laid-out';
import { type PretendDevice, pretendDevice } from '../../testing/pretend-device';
import { fitDevice } from './fit-device';

const model = laidOut({
  model_type: 'llama',
  hidden_size: 128,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  intermediate_size: 512,
  num_hidden_layers: 8,
  vocab_size: 1000,
});
const HOST = { processBytes: 0, contextLength: 100, readAlignment: 1 };
const GRANTED = 8_000_000;

describe('a device with less memory than was granted', () => {
  let device: PretendDevice;
  beforeAll(async () => {
    device = await pretendDevice();
  });
  afterAll(() => device.dispose());

  /** What is granted in the end, and said, where so many bytes can be had. */
  async function fit(available: (bytes: number) => Promise<number>, blocks: 'all' | 'resident' | number[] = 'all') {
    const warnings: string[] = [];
    const options = { ...HOST, device: device.grant(GRANTED, blocks) };
    const grant = await fitDevice(model, options, { available }, (message) => warnings.push(message));
    const plan = grant && planResidency(model, { ...options, device: grant });
    return { grant, plan, warnings };
  }

  test('keeps the plan where all of it can be had', async () => {
    const { grant, plan, warnings } = await fit(async (bytes) => bytes);
    expect(grant!.bytes).toBe(GRANTED);
    expect(plan!.device!.resident.every(Boolean)).toBe(true);
    expect(warnings).toEqual([]);
  });

  test.each(['all', 'resident'] as const)('gets a smaller plan (%s), and one line', async (blocks) => {
    const had = 3_500_000;
    const { plan, warnings } = await fit(async (bytes) => Math.min(bytes, had), blocks);
    expect(plan!.device!.bytes.total).toBeLessThanOrEqual(had);
    const all = (await fit(async (bytes) => bytes, blocks)).plan!.device!.bytes.weights;
    expect(plan!.device!.bytes.weights).toBeGreaterThan(0);
    expect(plan!.device!.bytes.weights).toBeLessThan(all);
    expect(warnings).toEqual([expect.stringMatching(/has 0.00350 GB of the .* planned anew with 0.00315 GB$/)]);
  });

  test('that shrinks while it is asked ends at a plan that fits', async () => {
    let had = 3_000_000;
    const { plan, warnings } = await fit(async (bytes) => {
      had -= 300_000;
      return Math.min(bytes, had);
    });
    expect(plan!.device!.bytes.total).toBeLessThanOrEqual(had);
    expect(warnings).toHaveLength(1);
  });

  test.each([
    ['has next to none', async () => 1000],
    [
      'is lost',
      async () => {
        throw new OnnxError({ reason: 'device is lost', failure: 'lost' });
      },
    ],
  ])('leaves all to the CPU where it %s, and one line', async (_, available) => {
    const { grant, warnings } = await fit(available);
    expect(grant).toBeNull();
    expect(warnings).toEqual([expect.stringMatching(/computing on the CPU, because the GPU has/)]);
  });

  test('does not change what a placement says', async () => {
    const fixed = await fit(async (bytes) => Math.min(bytes, 1000), [0, 1]).catch((error: unknown) => error);
    expect(BudgetError.isInstance(fixed)).toBe(true);
  });
});
