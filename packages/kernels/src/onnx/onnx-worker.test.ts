import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { GraphError } from '../errors';
import { Connection } from './connection';
import { OnnxError } from './errors';
import { OnnxWorker } from './onnx-worker';

/** A thread that answers as the code says: `ask` is what came, `parentPort` where answers go. */
function workerOf(code: string, answerMs?: number): OnnxWorker {
  const thread = `const { parentPort } = require('node:worker_threads');
    parentPort.on('message', (ask) => { if (ask.request.do === 'end') process.exit(); ${code} });`;
  return new OnnxWorker({
    start: () => new Worker(thread, { eval: true }),
    ...(answerMs !== undefined && { answerMs }),
  });
}

const stats = { do: 'stats' } as const;

async function failure(promise: Promise<unknown>): Promise<OnnxError> {
  const error = await promise.then(
    () => new Error('it succeeded'),
    (error: unknown) => error,
  );
  if (!OnnxError.isInstance(error)) throw error;
  return error;
}

describe('a thread of onnxruntime', () => {
  it.each([
    ['throws', 'throw new Error("out of tune")', /died: out of tune/],
    ['exits', 'process.exit(3)', /ended/],
    ['loses its device', 'parentPort.postMessage({ id: ask.id, failure: { message: "Device is lost." } })', /lost/],
  ])('that %s rejects what everybody waits for, and what is asked later', async (_, code, reason) => {
    const worker = workerOf(code);
    const waiting = [0, 1, 2].map((executor) => failure(worker.ask(executor, stats)));
    for (const error of await Promise.all(waiting)) {
      expect(error.failure).toBe('lost');
      expect(error.reason).toMatch(reason);
    }
    expect(worker.lost).toBe(true);
    expect((await failure(worker.ask(3, stats))).failure).toBe('lost');
    await worker.ended;
  });

  it('that gives no answer is given up', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    // Answers all but the third question, which it is busy with until it is told to leave it.
    const worker = workerOf(
      'if (ask.executor === 2) Atomics.wait(ask.request.until, 0, 0);' +
        'parentPort.postMessage({ id: ask.id, value: ask.executor })',
      400,
    );
    const until = new Int32Array(new SharedArrayBuffer(4));
    expect(await worker.ask(0, stats)).toBe(0);
    const [one, two, three] = [1, 2, 3].map((executor) => worker.ask(executor, { ...stats, until } as typeof stats));
    expect(await one).toBe(1);
    vi.advanceTimersByTime(399);
    expect(worker.lost).toBe(false);
    vi.advanceTimersByTime(1);
    expect((await failure(two!)).reason).toMatch(/no answer/);
    expect((await failure(three!)).failure).toBe('lost');
    // It ends once it can.
    Atomics.store(until, 0, 1);
    Atomics.notify(until, 0);
    await worker.ended;
  });

  it('goes on where a call is refused, or memory is short', async () => {
    const worker = workerOf(`parentPort.postMessage({ id: ask.id, ...[
      { failure: { message: 'Failed to create GPU buffer' } }, { failure: { message: 'no such op' } }, { value: 7 },
    ][ask.executor] })`);
    expect((await failure(worker.ask(0, stats))).failure).toBe('memory');
    expect((await failure(worker.ask(1, stats))).failure).toBe('refused');
    expect(await worker.ask(2, stats)).toBe(7);
    expect(worker.lost).toBe(false);
    await worker.close();
  });

  it('is the only one for GPUs, and is followed by another when it was lost', async () => {
    const first = await OnnxWorker.for('webgpu');
    expect(await OnnxWorker.for('webgpu')).toBe(first);
    await first.close();
    const [second, same] = await Promise.all([OnnxWorker.for('webgpu'), OnnxWorker.for('webgpu')]);
    expect(second).not.toBe(first);
    expect(same).toBe(second);
    // Nobody has opened an executor there; that it says so shows that it answers.
    await expect(second.ask(0, stats)).rejects.toSatisfy(GraphError.isInstance);
    await second.close();
  });

  it('says what was being done, on how much memory, and what to do', async () => {
    const worker = workerOf('process.exit()');
    const connection = new Connection(worker, { device: 'webgpu', granted: 4e9 });
    const weights = [{ address: 0n, length: 300 }, undefined, { address: 0n, length: 200 }];
    const part = { from: 3, to: 5 };
    const error = await failure(connection.ask({ do: 'upload', program: 0, part, weights, id: 0, stays: false }));
    expect(error).toMatchObject({ failure: 'lost', device: 'webgpu', granted: 4e9 });
    expect(error.doing).toBe('uploading 500 bytes of weights of ops 3 to 4');
    for (const part of [error.doing!, '4000000000 bytes', 'vram', 'device cpu']) expect(error.message).toContain(part);
    await connection.close(true);
  });
});
