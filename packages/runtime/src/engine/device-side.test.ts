import { fileURLToPath } from 'node:url';
import { createExecutor, OnnxError } from '@airllm/kernels';
import { openCheckpoint, openReader } from '@airllm/loader';
import { afterEach, describe, expect, test } from 'vitest';
import { BudgetError } from '../errors';
import { buildModel } from '../models/registry';
import { planResidency } from '../plan/residency';
import type { DeviceGrant } from '../plan/types';
import { type PretendDevice, pretendDevice } from '../testing/pretend-device';
import { Engine } from './engine';

const fixtures = fileURLToPath(new URL('../../../../apps/conformance/fixtures/', import.meta.url));
const IDS = [1, 5, 9, 200, 7, 7, 31, 4, 77, 12, 100, 3];
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Placement {
  readonly bytes: number;
  readonly blocks: DeviceGrant['blocks'];
  readonly segmentBytes?: number;
}

async function open(name: string, placement?: Placement, weightsMemory?: number, factor = 1) {
  const checkpoint = await openCheckpoint(`${fixtures}${name}`);
  const model = buildModel(checkpoint.config, checkpoint);
  const reader = await openReader({ kind: 'plain' });
  const executor = await createExecutor({ executor: 'reference' });
  const device: PretendDevice | undefined = placement && (await pretendDevice({ factor }));
  const plan = planResidency(model, {
    processBytes: 0,
    contextLength: 64,
    readAlignment: reader.alignment,
    ...(weightsMemory === undefined ? {} : { weightsMemory }),
    ...(placement && { device: { ...device!.grant(placement.bytes, placement.blocks), ...placement } }),
  });
  const engine = new Engine({ model, plan, executor, reader, deviceExecutor: device?.executor });
  closing.push(
    () => reader.close(),
    () => executor.dispose(),
    async () => device?.dispose(),
    () => engine.dispose(),
  );
  return { engine, device: device!, plan, reader };
}

/** Logits of every position: a prefill of all but three tokens, then one token at a time. */
async function logitsOf(engine: Engine): Promise<Float32Array[]> {
  using sequence = await engine.openSequence(IDS.length);
  const rows = IDS.map((input, position) => ({
    sequence,
    position,
    input,
    ropeLength: Math.max(IDS.length - 3, position + 1),
    wantsLogits: true,
  }));
  const logits = await engine.step(rows.slice(0, -3));
  for (const row of rows.slice(-3)) logits.push(...(await engine.step([row])));
  return logits;
}

const ALL = Number.MAX_SAFE_INTEGER;

/** Of a device that computes all blocks. */
async function leastBytes(name: string, options: Partial<Placement> = {}): Promise<number> {
  try {
    await open(name, { ...options, bytes: 0, blocks: 'all' });
  } catch (error) {
    if (BudgetError.isInstance(error)) return error.floor;
    throw error;
  }
  throw new Error('no device works without memory');
}

describe.each(['llama', 'gemma3_text', 'gpt2', 'mixtral'])('%s', (name) => {
  test('has the same logits wherever its blocks are computed', async () => {
    const expected = await logitsOf((await open(name)).engine);
    const placements: Placement[] = [
      { bytes: ALL, blocks: 'all' },
      { bytes: ALL, blocks: 'resident' },
      { bytes: ALL, blocks: [0] },
      { bytes: ALL, blocks: [1, 3] },
    ];
    for (const placement of placements) {
      const { engine, plan } = await open(name, placement);
      expect(plan.device).not.toBeNull();
      expect(await logitsOf(engine)).toEqual(expected);
    }
  });

  test('and whether its weights stay on the device or are uploaded in each pass', async () => {
    const expected = await logitsOf((await open(name)).engine);
    const floor = await leastBytes(name);
    for (const bytes of [floor, Math.ceil(1.15 * floor)]) {
      const { engine, device, plan } = await open(name, { bytes, blocks: 'all' });
      expect(plan.device!.uploadedBytes).toBeGreaterThan(0);
      expect(await logitsOf(engine)).toEqual(expected);
      await engine.dispose();
      expect(device.held()).toBe(0);
    }
  });
});

describe.each(['llama', 'gemma3_text', 'gpt2', 'mixtral'])('of the blocks of %s', (name) => {
  test('parts may stay, and only the others are read and uploaded in each pass', async () => {
    const segmentBytes = 12_000;
    const expected = await logitsOf((await open(name)).engine);
    const least = await leastBytes(name, { segmentBytes });
    const all = (await open(name, { bytes: ALL, blocks: 'all', segmentBytes })).plan.device!.bytes.total;
    const placement: Placement = { bytes: Math.ceil((least + all) / 2), blocks: 'all', segmentBytes };
    const { engine, device, plan, reader } = await open(name, placement, 100_000);
    const { resident, computes } = plan.device!;
    const stays = (block: number) => plan.segments.filter((each) => each.block === block).map((s) => resident[s.index]);
    expect(computes.some((_, b) => stays(b).includes(true) && stays(b).includes(false))).toBe(true);
    expect(await logitsOf(engine)).toEqual(expected);
    const count = resident.filter(Boolean).length;
    expect(device.held()).toBe(count);
    const uploads = device.uploads();
    const read = reader.stats.bytesRead;
    expect(await logitsOf(engine)).toEqual(expected);
    // Of a prompt and three tokens, each a pass; experts come with their calls.
    const brought = plan.segments.filter((each) => !resident[each.index] && each.experts === undefined);
    expect(device.uploads() - uploads).toBe(4 * brought.length);
    if (plan.bytes.experts === 0) {
      const streamed = brought.filter(({ index }) => !plan.pinned[index]).reduce((sum, { bytes }) => sum + bytes, 0);
      // The next pass is read ahead as far as the ring has room.
      expect(Math.abs(reader.stats.bytesRead - read - 4 * streamed)).toBeLessThanOrEqual(plan.bytes.ring);
    }
  });
});

describe('weights on a device', () => {
  test('are read and uploaded once where they stay, in each pass where they do not', async () => {
    const whole = await open('llama', { bytes: ALL, blocks: 'all' });
    await logitsOf(whole.engine);
    expect(whole.device.uploads()).toBe(whole.plan.segments.length);
    const read = whole.reader.stats.bytesRead;
    await logitsOf(whole.engine);
    expect(whole.device.uploads()).toBe(whole.plan.segments.length);
    // Nothing, embedding rows included: those wanted last are kept.
    expect(whole.reader.stats.bytesRead - read).toBe(0);

    const { engine, device, plan } = await open('llama', { bytes: await leastBytes('llama'), blocks: 'all' });
    expect(plan.device!.uploadedBytes).toBeGreaterThan(0);
    await logitsOf(engine);
    const first = device.uploads();
    await logitsOf(engine);
    expect(device.uploads() - first).toBeGreaterThan(0);
  });

  test('are given back where a pass breaks off, and the next one works', async () => {
    const { engine, device, plan } = await open('llama', { bytes: 600_000, blocks: [0, 1] }, 200_000);
    const reason = new Error('enough');
    const controller = new AbortController();
    {
      using sequence = await engine.openSequence(IDS.length);
      const rows = IDS.map((input, position) => ({ sequence, position, input, wantsLogits: true }));
      const step = engine.step(rows, { signal: controller.signal });
      controller.abort(reason);
      await expect(step).rejects.toBe(reason);
    }
    const expected = await logitsOf((await open('llama')).engine);
    expect(await logitsOf(engine)).toEqual(expected);
    expect(device.held()).toBe(plan.device!.resident.filter(Boolean).length);
  });

  test('that take more than planned are uploaded in each pass where they find no room', async () => {
    const expected = await logitsOf((await open('llama')).engine);
    const { engine, device, plan } = await open('llama', { bytes: ALL, blocks: 'all' }, undefined, 1.5);
    expect(await logitsOf(engine)).toEqual(expected);
    expect(device.held()).toBeGreaterThan(0);
    expect(device.held()).toBeLessThan(plan.segments.length);
    await engine.dispose();
    expect(device.held()).toBe(0);
  });

  test('are done with at the end of a pass, also where nobody wants logits of it', async () => {
    const { engine, device, reader } = await open('llama', { bytes: ALL, blocks: 'all' });
    const { compile } = device.executor;
    let running = 0;
    device.executor.compile = (graph) => {
      const program = compile(graph);
      const run: typeof program.run = async (call) => {
        running++;
        await new Promise((resolve) => setTimeout(resolve, 1));
        return program.run(call).finally(() => running--);
      };
      return { ...program, run };
    };
    const { plan, model } = engine;
    const { executor } = device;
    const slow = new Engine({
      model,
      plan,
      executor,
      reader,
      deviceExecutor: executor,
    });
    using sequence = await slow.openSequence(IDS.length);
    const rows = IDS.map((input, position) => ({ sequence, position, input, wantsLogits: false }));
    // The next pass puts its values where these were.
    await slow.step(rows);
    expect(running).toBe(0);
    await slow.dispose();
  });

  test('for which there is no memory end the step with an error, and the next one works', async () => {
    const expected = await logitsOf((await open('llama')).engine);
    const { engine, device } = await open('llama', { bytes: ALL, blocks: 'all' });
    const { device: memory } = device.executor;
    const { upload } = memory;
    const full = new OnnxError({ reason: 'no memory', failure: 'memory' });
    let uploads = 0;
    memory.upload = async (...args) => {
      uploads++;
      if (uploads === 2) throw full;
      return upload(...args);
    };
    await expect(logitsOf(engine)).rejects.toBe(full);
    expect(await logitsOf(engine)).toEqual(expected);
    await engine.dispose();
    expect(device.held()).toBe(0);
  });

  test('are brought anew where a pass had no memory, since some of them may not be there', async () => {
    const expected = await logitsOf((await open('llama')).engine);
    const { plan, engine, device, reader } = await open('llama', { bytes: ALL, blocks: 'all' });
    const { compile } = device.executor;
    let calls = 0;
    device.executor.compile = (graph) => {
      const program = compile(graph);
      const run: typeof program.run = async (call) => {
        calls++;
        if (calls === 3) throw new OnnxError({ reason: 'no memory', failure: 'memory' });
        return program.run(call);
      };
      return { ...program, run };
    };
    const executor = await createExecutor({ executor: 'reference' });
    const { model } = engine;
    const short = new Engine({ model, plan, executor, reader, deviceExecutor: device.executor });
    await expect(logitsOf(short)).rejects.toMatchObject({ failure: 'memory' });
    expect(device.held()).toBe(0);
    expect(await logitsOf(short)).toEqual(expected);
    expect(device.held()).toBe(plan.segments.length);
    await short.dispose();
    expect(device.held()).toBe(0);
    await executor.dispose();
  });

  test('need an executor', async () => {
    const { plan, engine, reader } = await open('llama', { bytes: ALL, blocks: 'all' });
    const executor = await createExecutor({ executor: 'reference' });
    expect(() => new Engine({ model: engine.model, plan, executor, reader })).toThrow(/deviceExecutor/);
    await executor.dispose();
  });
});
