import { parentPort, workerData } from 'node:worker_threads';
import { env } from 'onnxruntime-node';
import { GraphError } from '../../errors';
import { unbroken } from '../exit-guard';
import type { Answer, Ask, Opened, Request } from '../protocol';
import { keepsWeightsAlone } from '../providers';
import { requireProvider } from './available';
import { DeviceCarries, HostCarries } from './carries';
import { borrowed, CpuBackend } from './cpu-backend';
import { openPinning } from './pinning';
import { WebGpuBackend } from './webgpu-backend';
import { WorkerExecutor } from './worker-executor';

// The thread that onnxruntime runs in, whose calls block: one request after the other, in the order they came.

const executors = new Map<number, WorkerExecutor>();
let last: Promise<unknown> = Promise.resolve();

// What goes wrong is told by errors; on stderr it would come in between what people read.
env.logLevel = 'fatal';

parentPort!.on('message', (ask: Ask) => {
  last = last
    .then(() => (ask.request.do === 'end' ? process.exit() : unbroken(workerData.flags, () => answer(ask))))
    .then((reply) => parentPort!.postMessage(reply));
});

async function answer({ id, executor, request }: Ask): Promise<Answer> {
  try {
    if (request.do === 'open') return { id, value: await open(executor, request) };
    const found = executors.get(executor);
    if (found === undefined) throw new GraphError('worker', 'the executor was closed');
    const value = await found.answer(request);
    if (request.do === 'close') executors.delete(executor);
    return { id, value };
  } catch (error) {
    const { name, message } = error as Error;
    const graph = GraphError.isInstance(error) ? { op: error.op, reason: error.reason } : undefined;
    return { id, failure: { name, message, graph } };
  }
}

async function open(executor: number, { provider, threads }: Extract<Request, { do: 'open' }>): Promise<Opened> {
  requireProvider(provider);
  if (provider === 'webgpu') {
    const backend = await WebGpuBackend.open();
    executors.set(executor, new WorkerExecutor(backend, new DeviceCarries(backend)));
    return { name: backend.name, halfFloats: backend.halfFloats, packs: backend.packs, weightsAlone: false };
  }
  const pinning = await openPinning(provider, threads);
  const backend = new CpuBackend(threads);
  executors.set(executor, new WorkerExecutor(backend, new HostCarries(backend, borrowed), pinning));
  const { halfFloats, packs } = pinning.staging;
  return { name: `onnxruntime ${provider}`, halfFloats, packs, weightsAlone: keepsWeightsAlone(provider) };
}
