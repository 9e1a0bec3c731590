import { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { STAGED_BYTES } from './sizes';
import { scatterModel } from './worker/lower/pick';
import { ModelBuilder } from './worker/model/model-builder';
import { Sessions } from './worker/sessions';
import { WebGpuBackend } from './worker/webgpu-backend';

// Run in a process that was started with a GPU to be found: see webgpu.test.ts.
describe.skipIf(process.env.AIRLLM_TEST_GPU === undefined)('buffers of the webgpu provider', () => {
  let backend: WebGpuBackend;
  let sessions: Sessions;
  beforeAll(async () => {
    backend = await WebGpuBackend.open();
    sessions = new Sessions(backend);
    await sessions.open('double', () => ({ bytes: doubleModel() }));
  });
  afterAll(async () => {
    await sessions.close();
    await backend.close();
  });
  const filled = (values: readonly number[]) => backend.upload(new Uint8Array(Float32Array.from(values).buffer));

  it('are written by the sessions they are bound to', async () => {
    const x = await filled([1, 2, 3, 4]);
    const y = await filled([9, 9, 9, 9, 9, 9]);
    await sessions.run('double', { x: x.tensor('float32', [4]) }, { y: y.tensor('float32', [4]) });
    expect([...(await backend.read(y, 6))]).toEqual([2, 4, 6, 8, 9, 9]);
    expect([...(await backend.read(x, 4))]).toEqual([1, 2, 3, 4]);
    for (const buffer of [x, y]) backend.free(buffer);
  });

  it('can be read and written by one session', async () => {
    const old = await filled([0, 0, 1, 1, 2, 2]);
    await sessions.open('scatter', () => ({ bytes: scatterModel(2) }));
    const all = old.tensor('float32', [3, 2]);
    const at = int64([2, 0]);
    const x = await filled([7, 7, 8, 8]);
    await sessions.run('scatter', { old: all, at, x: x.tensor('float32', [2, 2]) }, { y: all });
    expect([...(await backend.read(old, 6))]).toEqual([8, 8, 1, 1, 7, 7]);
    for (const buffer of [old, x]) backend.free(buffer);
  });

  it('are copied and written over from the host', async () => {
    const from = await filled([1, 2, 3]);
    const to = await backend.allocate(16);
    await backend.write(to, Float32Array.of(5, 5, 5, 5));
    await backend.copy(from, to, 2);
    expect([...(await backend.read(to, 4))]).toEqual([1, 2, 5, 5]);
    for (const buffer of [from, to]) backend.free(buffer);
  });

  it('give their memory back', async () => {
    const held = backend.bufferBytes;
    const data = new Uint8Array(4 * 2 ** 20).fill(1);
    for (let n = 0; n < 20; n++) backend.free(await backend.upload(data));
    const before = process.memoryUsage.rss();
    for (let n = 0; n < 150; n++) backend.free(await backend.upload(data));
    // A software device's memory is the process's.
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 * STAGED_BYTES);
    expect(backend.bufferBytes).toBe(held);
  });
});

function doubleModel(): Uint8Array {
  const m = new ModelBuilder();
  m.output('y', m.node('Mul', [m.input('x', 'float32', ['n']), m.float(2)]), 'float32', ['n']);
  return m.build();
}

function int64(values: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length, 1]);
}
