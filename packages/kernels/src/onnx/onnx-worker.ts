import { SHARE_ENV, Worker } from 'node:worker_threads';
import { ExecutorUnavailableError, GraphError } from '../errors';
import { requireHere } from '../here';
import { OnnxError } from './errors';
import type { Answer, Ask, Failure, Provider, Request } from './protocol';

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** One thread that onnxruntime runs in: its calls block. Keeps the process alive only while it is asked something. */
export class OnnxWorker {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #executors = 0;
  #lost: Error | undefined;

  private constructor() {
    this.#worker = new Worker(requireHere().resolve('#onnx-worker'), {
      // Nothing of the host's flags (loaders, inspectors) belongs into it.
      execArgv: [],
      env: SHARE_ENV,
      name: 'airllm-onnx',
    });
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#end(new OnnxError(`its thread died: ${error.message}`)));
    this.#worker.on('exit', () => this.#end(new OnnxError('its thread ended')));
  }

  /** The thread for a provider: one per process for the GPU, where a second one would crash it. */
  static for(provider: Provider): OnnxWorker {
    try {
      return provider === 'webgpu' ? gpuWorker(() => new OnnxWorker()) : new OnnxWorker();
    } catch (cause) {
      const reason = `no thread could be started (keep @airllm/* out of bundles): ${(cause as Error).message}`;
      throw new ExecutorUnavailableError({ executor: 'onnx', reason, cause });
    }
  }

  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** A number for one more executor in this thread. */
  enter(): number {
    return this.#executors++;
  }

  /** Requests are answered in the order they were made. */
  ask<T = void>(executor: number, request: Request): Promise<T> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ id, executor, request } satisfies Ask);
    });
  }

  /** Ends the thread when it has answered. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle({ id, value, failure }: Answer): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (failure === undefined) waiting.resolve(value);
    else waiting.reject(errorOf(failure));
  }

  #end(error: Error): void {
    this.#lost ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#lost);
    this.#waiting.clear();
  }
}

/** Where in onnxruntime's sources something failed is nobody's concern here, nor its stack. */
const SOURCE = /^\/onnxruntime_src\/.* was false\. /;

function errorOf({ message, graph }: Failure): Error {
  const reason = message.split('\n')[0]!.replace(SOURCE, '');
  return graph === undefined ? new OnnxError(reason) : new GraphError(graph.op, graph.reason);
}

/** Where copies of this package (ESM and CJS meet) find the process's one GPU thread. */
const GPU_WORKER = Symbol.for('@airllm/kernels.gpuWorker');

function gpuWorker(start: () => OnnxWorker): OnnxWorker {
  const here = globalThis as { [GPU_WORKER]?: OnnxWorker };
  const known = here[GPU_WORKER];
  if (known !== undefined && !known.lost) return known;
  const worker = start();
  here[GPU_WORKER] = worker;
  return worker;
}
