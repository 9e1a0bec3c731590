import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowError } from '../conformance/compare';
import { fitted, packedExamples } from '../conformance/packed-formats';
import { PreparedCase, type Recorded } from '../conformance/run-case';
import { GraphError, StateFullError } from '../errors';
import { GraphBuilder } from '../graph/builder';
import { deviceAttention, kv, positions } from '../testing/device-attention';
import type { PackedExample } from '../testing/packed';
import { prompt } from '../testing/rows';
import { TestWeights } from '../testing/weights';
import { RING_ROWS } from './device-state';
import { DeviceMemoryError } from './errors';
import { OnnxExecutor } from './onnx-executor';

const gpu = process.env.AIRLLM_TEST_GPU !== undefined;
const provider = gpu ? 'webgpu' : 'cpu';

const linear = (from: number, to: number): Recorded => ({
  rows: prompt(2),
  record: (b) => b.output('y', b.linear(b.input('x', from), 'proj', to, { bias: true })),
});

describe(`device of onnx ${provider}`, () => {
  let executor: OnnxExecutor;
  beforeAll(async () => {
    executor = await OnnxExecutor.open({ provider, threads: 1 });
  });
  afterAll(() => executor.dispose());

  /** Uploads the one part of a case. */
  async function upload(on: OnnxExecutor, recorded: Recorded, dtype: 'F32' | 'BF16' = 'BF16') {
    const weights = new TestWeights(dtype, recorded.packed);
    const b = new GraphBuilder(weights.source);
    recorded.record(b);
    const block = b.build('case');
    const program = on.compile(block.graph);
    const part = { from: 0, to: block.graph.ops.length };
    const bytes = block.weights.map(({ name }) => weights.bytes(name));
    const expected = on.device.uploadBytes(program, part);
    return { expected, uploaded: on.device.upload(program, part, bytes).finally(() => weights.dispose()) };
  }

  it('takes what it says for weights, and gives it back', async () => {
    for (const dtype of ['F32', 'BF16'] as const) {
      const { expected, uploaded } = await upload(executor, linear(40, 24), dtype);
      const weights = await uploaded;
      expect(weights.deviceBytes).toBe(expected);
      expect(executor.device.usedBytes).toBe(expected);
      weights.dispose();
      weights.dispose();
      expect(executor.device.usedBytes).toBe(0);
    }
  });

  it.runIf(gpu)('keeps quantised matrices in four bits', async () => {
    const packed = fitted(packedExamples.find(({ name }) => name === 'AWQ')!, [24, 128]);
    const { expected, uploaded } = await upload(executor, { ...linear(128, 24), packed });
    const weights = await uploaded;
    // Codes, two scales a row, two zeros a row, and the bias.
    expect(weights.deviceBytes).toBe(24 * (64 + 8 + 1) + 4 * 24);
    expect(expected).toBe(weights.deviceBytes);
    weights.dispose();
  });

  it("keeps bitsandbytes' matrices in four bits, and decodes those of another table", async () => {
    const example = (name: string) => packedExamples.find((each) => each.name === `bitsandbytes ${name}`)!;
    const held = async (packed: PackedExample) => {
      const { expected, uploaded } = await upload(executor, { ...linear(128, 24), packed });
      const weights = await uploaded;
      weights.dispose();
      return { expected, bytes: weights.deviceBytes };
    };
    for (const name of ['NF4', 'NF4, nested', 'FP4, rows alone']) {
      // Codes, two scales a row, and the bias.
      const bytes = 24 * (64 + 8) + 4 * 24;
      expect(await held(example(name))).toEqual({ expected: bytes, bytes });
    }
    const nf4 = example('NF4');
    const other = { ...nf4, table4: nf4.table4!.map((value) => 0.9 * value) };
    expect((await held(other)).bytes).toBeGreaterThanOrEqual(2 * 24 * 128);
  });

  it('refuses what goes beyond its limit, and changes nothing then', async () => {
    const small = await OnnxExecutor.open({ provider, threads: 1, deviceMemory: 4000 });
    const { uploaded } = await upload(small, linear(64, 64), 'F32');
    await expect(uploaded).rejects.toSatisfy(DeviceMemoryError.isInstance);
    const state = small.device.createState(kv, 300);
    expect(() => state.reserve(1)).toThrow(expect.toSatisfy(StateFullError.isInstance));
    expect(state.length).toBe(0);
    expect(small.device.usedBytes).toBe(0);
    const fits = small.device.createState(kv, 20);
    fits.reserve(1);
    expect(small.device.usedBytes).toBe(small.device.stateBytes(kv, 20));
    fits.dispose();
    await small.dispose();
  });

  it('refuses weights and states of another executor', async () => {
    const other = await OnnxExecutor.open({ provider, threads: 1 });
    const attention = deviceAttention(executor);
    const state = other.device.createState(kv, 20);
    state.reserve(1);
    await expect(attention.run(state, [{ position: 0 }])).rejects.toSatisfy(GraphError.isInstance);
    state.dispose();
    attention.dispose();
    await other.dispose();
  });

  it('forks, truncates and grows states', async () => {
    const attention = deviceAttention(executor);
    const state = executor.device.createState(kv, 8);
    const whole = await attention.run(state, positions(0, 6));
    const copy = state.fork();
    copy.truncate(3);
    const again = await attention.run(copy, positions(3, 6));
    expect(rowError(again, whole.subarray(3 * 8))).toBeLessThan(1e-6);
    // Beyond the length it was made for it is moved to more room.
    const longer = await attention.run(state, positions(6, 20));
    const fresh = executor.device.createState(kv, 20);
    expect(rowError(longer, (await attention.run(fresh, positions(0, 20))).subarray(6 * 8))).toBeLessThan(1e-6);
    for (const each of [state, copy, fresh]) each.dispose();
    expect(executor.device.usedBytes).toBe(0);
    attention.dispose();
  });

  // Its passes are many, and what turns is not the provider's.
  if (!gpu)
    it('keeps a window in a ring', async () => {
      const rows = prompt(RING_ROWS + 200);
      const windowed: Recorded = {
        rows,
        record(b) {
          const [q, k, v] = [b.input('q', 8), b.input('k', 4), b.input('v', 4)];
          b.output('y', b.attention(q, k, v, { heads: 2, kvHeads: 1, headDim: 4, window: 9 }));
        },
      };
      const prepared = new PreparedCase(windowed, 'F32');
      const chunk = 250;
      const onHost = await prepared.run(executor, { cut: 'whole', chunk });
      const onDevice = await prepared.run(executor, { cut: 'whole', chunk, onDevice: true });
      expect(rowError(onDevice, onHost)).toBeLessThan(1e-5);
      prepared.dispose();
    });
});
