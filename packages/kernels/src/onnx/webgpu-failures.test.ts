import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceAttention, positions } from '../testing/device-attention';
import { OnnxError } from './errors';
import { OnnxExecutor } from './onnx-executor';

const kv = { kind: 'kv', kvHeads: 1, keyDim: 4, valueDim: 4, dtype: 'float32' } as const;

// Run in a process that was started with a GPU to be found: see webgpu.test.ts.
describe.skipIf(process.env.AIRLLM_TEST_GPU === undefined)('what a GPU refuses', () => {
  let executor: OnnxExecutor;
  beforeAll(async () => {
    executor = await OnnxExecutor.open({ provider: 'webgpu' });
  });
  afterAll(() => executor.dispose());

  /** Runs a few positions through a state of so many. */
  async function attend(maxLength: number): Promise<Float32Array> {
    const attention = deviceAttention(executor);
    const state = executor.device.createState(kv, maxLength);
    try {
      return await attention.run(state, positions(0, 3));
    } finally {
      state.dispose();
      attention.dispose();
    }
  }

  async function refusal(maxLength: number): Promise<OnnxError> {
    const error = await attend(maxLength).catch((error: unknown) => error);
    if (!OnnxError.isInstance(error)) throw error;
    return error;
  }

  it('is a buffer beyond its limits; what comes after it is computed', async () => {
    const expected = await attend(8);
    const before = await executor.stats();
    const error = await refusal(2 ** 27);
    expect(error.failure).toBe('memory');
    expect(error.message).toMatch(/buffer.*vram/);
    expect(await attend(8)).toEqual(expected);
    expect((await executor.stats()).bufferBytes).toBe(before.bufferBytes);
    expect(executor.device.usedBytes).toBe(0);
  });

  it('is memory that is not there; what comes after it is computed', async () => {
    const expected = await attend(8);
    const before = await executor.stats();
    // A software device's memory is the process's.
    const size = 1024 * Number(/^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
    const limit = (bytes: string) => execFileSync('prlimit', ['--pid', `${process.pid}`, `--as=${bytes}:`]);
    limit(`${size + 300 * 2 ** 20}`);
    try {
      expect(await executor.device.available(2 ** 30)).toBeLessThan(2 ** 29);
      expect(await executor.device.available(2 ** 20)).toBe(2 ** 20);
      expect((await refusal(2 ** 25)).failure).toBe('memory');
    } finally {
      limit('unlimited');
    }
    expect(await attend(8)).toEqual(expected);
    expect((await executor.stats()).bufferBytes).toBe(before.bufferBytes);
  });

  it('is not the end of the process in the middle of a call', async () => {
    const kernels = new URL('../../dist/index.js', import.meta.url).href;
    const loader = import.meta.resolve('@airllm/loader');
    const script = `
      const { createExecutor, GraphBuilder } = await import(${JSON.stringify(kernels)});
      const { HostBuffer, MetaTensor } = await import(${JSON.stringify(loader)});
      // So little that the one call which the exit waits for ends soon on a busy machine too.
      const width = 256, count = 64;
      const b = new GraphBuilder((name) => new MetaTensor({ name, dtype: 'F32', shape: [width, width] }));
      b.output('y', b.linear(b.input('x', width), 'proj', width));
      const { graph } = b.build('one');
      const program = (await createExecutor({ executor: 'onnx', provider: 'webgpu' })).compile(graph);
      const each = (value) => Int32Array.from({ length: count }, (_, r) => value(r));
      const zeros = each(() => 0);
      const rows = { count, sequence: zeros, position: each((r) => r), visibleFrom: zeros, ropeLength: each((r) => r + 1) };
      const memory = () => HostBuffer.allocate(4 * width * width);
      const carry = new Map([['x', memory()], ['y', memory()]]);
      const weights = [{ buffer: memory(), offset: 0 }];
      const call = { part: { from: 0, to: 1 }, rows, weights, states: [], carry, workspace: memory(), maxRows: count };
      for (let n = 0; n < 2000; n++) void program.run(call);
      setTimeout(() => process.exit(7), 300);`;
    const args = ['--input-type=module', '--eval', script];
    const ended = await promisify(execFile)(process.execPath, args).catch((error: unknown) => error);
    expect(ended).toMatchObject({ code: 7, stderr: '' });
  });
});
