import { SHARE_ENV, Worker } from 'node:worker_threads';
import { ExecutorUnavailableError, GraphError } from '../errors';
import { requireHere } from '../here';
import { OnnxError } from './errors';
import { ExitGuard, newFlags } from './exit-guard';
import { failureOf, reasonOf } from './failure';
import type { Answer, Ask, Failure, Provider, Request } from './protocol';

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface OnnxWorkerOptions {
  /** Starts the thread; others only for tests. */
  readonly start?: (workerData: unknown) => Worker;
  /** Milliseconds in which one answer must have come. @defaultValue 10 minutes */
  readonly answerMs?: number;
}

/** A software GPU takes a minute for what takes others a millisecond; a driver that hangs takes for ever. */
const ANSWER_MS = 10 * 60_000;
/** A thread that was lost needs a moment to end, but cannot where a call of it never returns. */
const END_MS = 5000;

/**
 * One thread that onnxruntime runs in: its calls block. Keeps the process alive only while it is asked something. It is
 * never terminated, since onnxruntime ends the process where that finds it in a call: it is asked to end.
 */
export class OnnxWorker {
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #answerMs: number;
  readonly #guard: ExitGuard;
  #asked = 0;
  #executors = 0;
  #lost: OnnxError | undefined;
  #watch: NodeJS.Timeout | undefined;

  constructor({ start = startThread, answerMs = ANSWER_MS }: OnnxWorkerOptions = {}) {
    const flags = newFlags();
    this.#guard = new ExitGuard(flags);
    this.#answerMs = answerMs;
    this.#worker = start({ flags });
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#end(`its thread died: ${error.message}`));
    this.ended = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#end('its thread ended');
        resolve();
      });
    });
  }

  /**
   * The thread for a provider: one per process for GPUs, where a second one would crash it. A thread that was lost is
   * followed by a new one when it has ended.
   */
  static async for(provider: Provider): Promise<OnnxWorker> {
    const start = () => {
      try {
        return new OnnxWorker();
      } catch (cause) {
        const reason = `no thread could be started (keep @airllm/* out of bundles): ${(cause as Error).message}`;
        throw new ExecutorUnavailableError({ executor: 'onnx', reason, cause });
      }
    };
    return provider === 'cpu' ? start() : gpuWorker(start);
  }

  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** A number for one more executor in this thread. */
  enter(): number {
    return this.#executors++;
  }

  /** Requests are answered in the order they were made. Rejects with `OnnxError` and `GraphError`. */
  ask<T = void>(executor: number, request: Request): Promise<T> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#begin();
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ id, executor, request } satisfies Ask);
    });
  }

  /** Ends the thread when it has answered. */
  async close(): Promise<void> {
    this.#retire();
    // Nobody else may be keeping the process alive for it.
    this.#worker.ref();
    await this.ended;
  }

  #settle({ id, value, failure }: Answer): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (failure === undefined) waiting.resolve(value);
    else {
      const error = errorOf(failure);
      waiting.reject(error);
      if (OnnxError.isInstance(error) && error.failure === 'lost') this.#abandon(error.reason);
    }
    if (this.#waiting.size === 0) this.#rest();
    else this.#watch?.refresh();
  }

  /** What lies on a lost device is lost, and whoever needs it is told so; the thread ends as soon as it can. */
  #abandon(reason: string): void {
    this.#end(reason);
    this.#retire();
  }

  #retire(): void {
    this.#worker.postMessage({ id: -1, executor: -1, request: { do: 'end' } } satisfies Ask);
  }

  #begin(): void {
    this.#worker.ref();
    this.#guard.begin();
    const seconds = this.#answerMs / 1000;
    const silence = `it gave no answer in ${seconds} seconds; the call goes on in its thread`;
    this.#watch = setTimeout(() => this.#abandon(silence), this.#answerMs).unref();
  }

  #rest(): void {
    clearTimeout(this.#watch);
    this.#guard.rest();
    this.#worker.unref();
  }

  #end(reason: string): void {
    this.#lost ??= new OnnxError({ reason, failure: 'lost' });
    for (const { reject } of this.#waiting.values()) reject(this.#lost);
    this.#waiting.clear();
    this.#rest();
  }
}

function startThread(workerData: unknown): Worker {
  return new Worker(requireHere().resolve('#onnx-worker'), {
    workerData,
    // Nothing of the host's flags (loaders, inspectors) belongs into it.
    execArgv: [],
    env: SHARE_ENV,
    name: 'airllm-onnx',
  });
}

function errorOf({ message, graph }: Failure): Error {
  if (graph !== undefined) return new GraphError(graph.op, graph.reason);
  return new OnnxError({ reason: reasonOf(message), failure: failureOf(message) });
}

/** Where copies of this package (ESM and CJS meet) find the process's one GPU thread. */
const GPU_WORKER = Symbol.for('@airllm/kernels.gpuWorker');

async function gpuWorker(start: () => OnnxWorker): Promise<OnnxWorker> {
  const here = globalThis as { [GPU_WORKER]?: OnnxWorker };
  for (;;) {
    const known = here[GPU_WORKER];
    if (known === undefined) break;
    if (!known.lost) return known;
    const late = Symbol('late');
    const first = await Promise.race([
      known.ended,
      new Promise((resolve) => setTimeout(resolve, END_MS, late).unref()),
    ]);
    if (first === late) {
      const reason = 'a call to the GPU that was made before has not come back; start the process again';
      throw new ExecutorUnavailableError({ executor: 'onnx', reason });
    }
    if (here[GPU_WORKER] === known) delete here[GPU_WORKER];
  }
  const worker = start();
  here[GPU_WORKER] = worker;
  return worker;
}
