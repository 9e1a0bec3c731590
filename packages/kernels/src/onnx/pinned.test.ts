import { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowError } from '../conformance/compare';
import { fitted, packedExamples } from '../conformance/packed-formats';
import { ExecutorUnavailableError } from '../errors';
import type { DeviceWeights } from '../executor';
import { GraphBuilder } from '../graph/builder';
import type { Graph } from '../graph/graph';
import { randomValues } from '../testing/random';
import { TestWeights } from '../testing/weights';
import { Connection } from './connection';
import { DeviceMemoryError } from './errors';
import { Holds } from './memory-ref';
import { OnnxDevice } from './onnx-device';
import { OnnxExecutor } from './onnx-executor';
import { OnnxProgram } from './onnx-program';
import { OnnxWorker } from './onnx-worker';
import { PINNED_ROWS, sessionOverhead, sessionRanges } from './pinned-size';
import type { Opened } from './protocol';
import { CpuBackend } from './worker/cpu-backend';
import { groupModel } from './worker/lower/group';
import { PinnedSession } from './worker/pinned-session';
import { freeStaged, stageWeights } from './worker/staging';
import { stagedBytes } from './worker/weights';

const MIB = 2 ** 20;

/** A product on its own, with its weights. */
function product(width: number, outputs: number, weights: TestWeights) {
  const b = new GraphBuilder(weights.source);
  b.output('y', b.linear(b.input('x', width), 'proj', outputs));
  const block = b.build('product');
  return { graph: block.graph, given: block.weights.map(({ name }) => weights.bytes(name)) };
}

const whole = ({ ops }: Graph) => ({ from: 0, to: ops.length });

describe('weights that stay in sessions', () => {
  let executor: OnnxExecutor;
  beforeAll(async () => {
    executor = await OnnxExecutor.open({ threads: 1 });
  });
  afterAll(() => executor.dispose());

  it('take what is said, and leave nothing behind', { timeout: 300_000 }, async () => {
    const weights = new TestWeights('F32');
    const { graph, given } = product(1024, 2048, weights);
    const program = executor.compile(graph);
    const upload = () => executor.device.upload(program, whole(graph), given, { stays: true });
    const held: DeviceWeights[] = [];
    const memory: number[] = [];
    for (let round = 0; round < 30; round++) {
      for (let n = 0; n < 2; n++) held.push(await upload());
      expect(executor.device.usedBytes).toBe(2 * executor.device.uploadBytes(program, whole(graph)));
      expect((await executor.stats()).sessions).toBe(2);
      for (const each of held.splice(0)) each.dispose();
      expect(await executor.stats()).toMatchObject({ sessions: 0, buffers: 0, bufferBytes: 0 });
      memory.push(process.memoryUsage.rss());
    }
    expect(executor.device.usedBytes).toBe(0);
    // All rounds together had 480 MiB.
    expect(memory.at(-1)! - memory[5]!).toBeLessThan(150 * MIB);
    weights.dispose();
  });

  it('are refused beyond the limit, and given back', async () => {
    const small = await OnnxExecutor.open({ threads: 1, deviceMemory: 4000 });
    const weights = new TestWeights('F32');
    const { graph, given } = product(64, 64, weights);
    const uploaded = small.device.upload(small.compile(graph), whole(graph), given, { stays: true });
    await expect(uploaded).rejects.toSatisfy(DeviceMemoryError.isInstance);
    expect((await small.stats()).sessions).toBe(0);
    weights.dispose();
    await small.dispose();
  });
});

it('count where a device holds weights alone, and states do not', async () => {
  const connection = new Connection(await OnnxWorker.for('cpu'), { device: 'cpu', granted: 1e9 });
  const opened = await connection.ask<Opened>({ do: 'open', provider: 'cpu', threads: 1 });
  const device = new OnnxDevice(connection, { ...opened, weightsAlone: true }, 1e9);
  const weights = new TestWeights('F32');
  const { graph, given } = product(64, 32, weights);
  const program = new OnnxProgram(graph, connection.nextId(), connection);
  connection.tell({ do: 'program', program: program.id, graph });
  const uploaded = await device.upload(program, whole(graph), given, { stays: true });
  expect(uploaded.deviceBytes).toBe(4 * 64 * 32 + sessionOverhead(graph, whole(graph)));
  expect(device.usedBytes).toBe(device.uploadBytes(program, whole(graph)));
  const spec = { kind: 'kv', kvHeads: 1, keyDim: 4, valueDim: 4, dtype: 'float32' } as const;
  const state = device.createState(spec, 100);
  state.reserve(50);
  expect(state.byteLength).toBeGreaterThan(0);
  expect(device.usedBytes).toBe(uploaded.deviceBytes);
  for (const held of [state, uploaded]) held.dispose();
  expect(device.usedBytes).toBe(0);
  weights.dispose();
  await connection.close(true);
});

// Forms that stay on a GPU, in sessions of the provider that is everywhere.
describe('a session with weights of its own', () => {
  const { sessionOptions } = new CpuBackend(1);
  const AWQ = fitted(packedExamples.find(({ name }) => name === 'AWQ')!, [24, 128]);

  it.each([
    ['in float16', 'BF16', undefined, 24 * 128 * 2],
    ['in four bits', 'F32', AWQ, 24 * (64 + 8 + 1)],
  ] as const)('computes any number of rows from weights %s', async (_, dtype, packed, bytes) => {
    const weights = new TestWeights(dtype, packed);
    const { graph, given } = product(128, 24, weights);
    const staging = new CpuBackend(1, { halfFloats: true, packs: ['nbits', 'bnb4'] });
    const holds = new Holds();
    const part = whole(graph);
    const staged = await stageWeights(staging, graph, part, holds.weights(graph, part, given, 0));
    expect(stagedBytes(staged)).toBe(bytes);
    const y = graph.outputs.get('y')!;
    const model = groupModel(graph, graph.ops, [y], staged);
    const pinning = { provider: 'cpu', staging, sessionOptions } as const;
    const session = await PinnedSession.create(pinning, model, staged);
    freeStaged(staging, staged.values());
    expect(staging.buffers).toBe(0);
    expect([...session.inputs.values()].map(({ kind }) => kind)).toEqual(['value']);
    const count = PINNED_ROWS + 3;
    const x = randomValues('x', count * 128);
    const found = new Float32Array(count * 24);
    const [input] = session.inputs.keys();
    const [output] = session.outputs.keys();
    await session.run(
      { [input!]: new Tensor('float32', x, [count, 128]) },
      { [output!]: new Tensor('float32', found, [count, 24]) },
      count,
    );
    expect(rowError(found, multiplied(x, weights.values('proj.weight'), count))).toBeLessThan(2e-3);
    await session.release();
    holds.release();
    weights.dispose();
  });
});

/** Rows of 128 by the 24 rows of a matrix. */
function multiplied(x: Float32Array, matrix: Float32Array, count: number): Float32Array {
  return Float32Array.from({ length: count * 24 }, (_, at) => {
    const [r, n] = [Math.floor(at / 24), at % 24];
    let sum = 0;
    for (let k = 0; k < 128; k++) sum += x[r * 128 + k]! * matrix[n * 128 + k]!;
    return sum;
  });
}

it('counts the sessions of a part, and what they keep', () => {
  const b = new GraphBuilder(new TestWeights('F32').source);
  const x = b.input('x', 8);
  const attended = b.attention(b.linear(x, 'q', 8), b.linear(x, 'k', 8), b.linear(x, 'v', 8), {
    heads: 2,
    kvHeads: 2,
    headDim: 4,
  });
  b.output('y', b.linear(attended, 'o', 16));
  const { graph } = b.build('layer');
  expect(sessionRanges(graph, whole(graph))).toEqual([
    { from: 0, to: 3 },
    { from: 4, to: 5 },
  ]);
  const values = [4 * 8, 8 + 16].reduce((sum, columns) => sum + 4 * PINNED_ROWS * columns, 0);
  const two = sessionOverhead(graph, whole(graph));
  expect(two - values).toBe(2 * (sessionOverhead(graph, { from: 4, to: 5 }) - 4 * PINNED_ROWS * 24));
});

it('is refused where onnxruntime has no such provider, in words that say what it has', async () => {
  const elsewhere = process.platform === 'win32' ? 'coreml' : 'dml';
  const refused = await OnnxExecutor.open({ provider: elsewhere }).catch((error) => error);
  expect(ExecutorUnavailableError.isInstance(refused)).toBe(true);
  expect(refused.reason).toContain(`no ${elsewhere} device`);
  expect(refused.reason).toMatch(/has cpu.* on \w+/);
});
