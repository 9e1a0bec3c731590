import { HostBuffer, MetaTensor } from '@airllm/loader';
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../graph/builder';
import { passRows } from '../../testing/rows';
import type { RunRequest } from '../protocol';
import type { DeviceBuffer } from './backend';
import { DeviceCarries } from './carries';
import { CpuBackend } from './cpu-backend';
import { WorkerExecutor } from './worker-executor';

const WIDTH = 4;

/** A device that makes buffers without memory behind them, and says so when they are used. */
class ShortBackend extends CpuBackend {
  short = false;
  readonly #invalid = new Set<DeviceBuffer>();

  override async allocate(byteLength: number) {
    const buffer = await super.allocate(byteLength);
    if (this.short) this.#invalid.add(buffer);
    return buffer;
  }

  override async write(buffer: DeviceBuffer, data: Float32Array): Promise<void> {
    this.#check(buffer);
    return super.write(buffer, data);
  }

  override async read(buffer: DeviceBuffer, length: number): Promise<Float32Array> {
    this.#check(buffer);
    return super.read(buffer, length);
  }

  #check(buffer: DeviceBuffer): void {
    if (this.#invalid.has(buffer)) throw new Error('[Invalid Buffer "x"] is invalid due to a previous error.');
  }
}

test('buffers that there was no memory for are not used again', async () => {
  const backend = new ShortBackend(1);
  const executor = new WorkerExecutor(backend, new DeviceCarries(backend));
  const b = new GraphBuilder((name) => new MetaTensor({ name, dtype: 'F32', shape: [WIDTH, WIDTH] }));
  b.output('y', b.linear(b.input('x', WIDTH), 'proj', WIDTH));
  const { graph } = b.build('one');
  await executor.answer({ do: 'program', program: 0, graph });
  const memory = ['x', 'y'].map(() => HostBuffer.allocate(4 * WIDTH));
  const matrix = HostBuffer.allocate(4 * WIDTH * WIDTH);
  matrix.float32(0, WIDTH * WIDTH).fill(1);
  memory[0]!.float32(0, WIDTH).set([1, 2, 3, 4]);
  const ref = (buffer: HostBuffer) => ({ address: buffer.address, length: buffer.byteLength });
  const run = (): RunRequest => ({
    do: 'run',
    program: 0,
    part: { from: 0, to: graph.ops.length },
    rows: { id: 0, rows: passRows([{ position: 0 }]) },
    weights: [ref(matrix)],
    states: [],
    carry: new Map(memory.map((buffer, id) => [['x', 'y'][id]!, { id, memory: ref(buffer) }])),
    workspace: 2,
    maxRows: 1,
  });
  backend.short = true;
  await expect(executor.answer(run())).rejects.toThrow(/Invalid Buffer/);
  expect(backend.buffers).toBe(0);
  backend.short = false;
  await executor.answer(run());
  expect([...memory[1]!.float32(0, WIDTH)]).toEqual([10, 10, 10, 10]);
  await executor.answer({ do: 'close' });
  for (const buffer of [...memory, matrix]) buffer.dispose();
});
