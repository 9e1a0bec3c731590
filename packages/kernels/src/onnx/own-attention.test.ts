import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowError } from '../conformance/compare';
import { PreparedCase, type Recorded } from '../conformance/run-case';
import type { KvCacheDType } from '../graph/graph';
import { passRows, prompt } from '../testing/rows';
import { OnnxExecutor } from './onnx-executor';

const provider = process.env.AIRLLM_TEST_GPU === undefined ? 'cpu' : 'webgpu';

interface Shape {
  readonly headDim?: number;
  readonly window?: number;
  readonly softcap?: number;
  readonly sinks?: string;
  readonly rows?: Recorded['rows'];
  readonly kvCacheDtype?: KvCacheDType;
}

function attention({ headDim = 8, rows = prompt(6), kvCacheDtype, ...rest }: Shape): Recorded {
  return {
    rows,
    ...(kvCacheDtype === undefined ? {} : { kvCacheDtype }),
    record(b) {
      const [q, k, v] = [b.input('q', 4 * headDim), b.input('k', 2 * headDim), b.input('v', 2 * headDim)];
      b.output('y', b.attention(q, k, v, { heads: 4, kvHeads: 2, headDim, ...rest }));
    },
  };
}

const both = passRows([0, 1, 2, 3].flatMap((position) => [{ position }, { position, sequence: 1 }]));
const left = prompt(6, { visibleFrom: 0 });
left.visibleFrom.fill(2, 2);

describe(`attention of onnx ${provider}`, () => {
  let executor: OnnxExecutor;
  beforeAll(async () => {
    executor = await OnnxExecutor.open({ provider, threads: 1 });
  });
  afterAll(() => executor.dispose());

  /** Runs of sessions it takes, and how far its rows are from those of a state of the host's, which plain operators make. */
  async function measured(shape: Shape, chunk: number) {
    const prepared = new PreparedCase(attention(shape), 'F32');
    const expected = await prepared.run(executor, { cut: 'whole', chunk: prepared.given('float32').rows.count });
    const onDevice = () => prepared.run(executor, { cut: 'whole', chunk, onDevice: true });
    // The first time a GPU's own is compared with plain operators.
    await onDevice();
    const before = (await executor.stats()).runs;
    const found = await onDevice();
    const { runs } = await executor.stats();
    prepared.dispose();
    return { runs: runs - before, error: rowError(found, expected) };
  }

  // A software GPU takes long for each shader.
  const rounded: [string, Shape][] = [
    ['keys kept in bfloat16', { kvCacheDtype: 'bfloat16' }],
    ['keys kept in int8', { kvCacheDtype: 'int8' }],
  ];

  it.each<[string, Shape]>([
    ['rows', {}],
    ['a window', { window: 3 }],
    ['rows that begin later', { rows: left }],
    ['sinks', { sinks: 'sinks' }],
    ...(provider === 'cpu' ? rounded : []),
  ])('is its own for %s, one by one, with the state where it was', async (_, shape) => {
    const { runs, error } = await measured(shape, 1);
    expect(runs).toBe(6);
    expect(error).toBeLessThan(1e-5);
  });

  it('is its own for each of several sequences', async () => {
    const { runs, error } = await measured({ rows: both }, 2);
    expect(runs).toBe(8);
    expect(error).toBeLessThan(1e-5);
  });

  it('is of plain operators where it would be wrong, slower or refused', async () => {
    // Two stores, and attention.
    expect(await measured({ headDim: 4 }, 6)).toMatchObject({ runs: 3, error: expect.closeTo(0, 4) });
    const many = await measured({}, 6);
    expect(many).toMatchObject({ runs: provider === 'cpu' ? 1 : 3, error: expect.closeTo(0, 4) });
  });
});
