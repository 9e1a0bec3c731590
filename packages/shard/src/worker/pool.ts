import { Worker } from 'node:worker_threads';
import { AirllmError, FormatError, ReadError, WriteError } from '@airllm/loader';
import { ConversionOverflowError } from '../errors';
import { requireHere } from '../here';
import type { Failure, HostMessage, Job, JobResult, WorkerMessage, WorkerSettings } from './protocol';

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  readonly onBytes: (bytes: number) => void;
}

/** What is done for an item; `run` gives a job to this item's worker. */
type Task<T> = (item: T, run: <J extends Job>(job: J) => Promise<JobResult<J>>) => Promise<void>;

interface EachOptions<T> {
  readonly signal: AbortSignal | undefined;
  /** Bytes done for an item since the last call. An error it throws fails the item. */
  readonly onBytes: (item: T, bytes: number) => void;
}

/** Worker threads that each do one file at a time. */
export class WorkerPool {
  readonly #lanes: Lane[];
  readonly #cancel: Int32Array;

  constructor(size: number, settings: Omit<WorkerSettings, 'cancel'>) {
    const cancel = new SharedArrayBuffer(4);
    this.#cancel = new Int32Array(cancel);
    this.#lanes = Array.from({ length: size }, () => new Lane({ ...settings, cancel }));
  }

  /**
   * Runs a task per item, as many at a time as there are workers, starting them in order. On the first failure the
   * others are stopped, and once all have stopped the failure is thrown; after an abort the signal's reason.
   */
  async each<T>(items: Iterable<T>, task: Task<T>, { signal, onBytes }: EachOptions<T>): Promise<void> {
    const queue = items[Symbol.iterator]();
    let failed: { error: unknown } | undefined;
    const work = async (lane: Lane) => {
      for (let next = queue.next(); !next.done && failed === undefined; next = queue.next()) {
        const item = next.value;
        try {
          signal?.throwIfAborted();
          await task(item, (job) => lane.run(job, (bytes) => onBytes(item, bytes)));
        } catch (error) {
          failed ??= { error };
          this.#stop();
        }
      }
    };
    const stop = () => this.#stop();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await Promise.all(this.#lanes.map(work));
    } finally {
      signal?.removeEventListener('abort', stop);
    }
    if (failed !== undefined) throw signal?.aborted ? signal.reason : (failed as { error: unknown }).error;
  }

  /** Ends running jobs at their next few megabytes. */
  #stop(): void {
    Atomics.store(this.#cancel, 0, 1);
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}

class Lane {
  readonly #worker: Worker;
  #pending: Pending | undefined;
  #id = 0;

  constructor(settings: WorkerSettings) {
    this.#worker = new Worker(requireHere().resolve('#worker'), {
      workerData: settings,
      // A worker keeps almost nothing on its heap; by default V8 would let 48 MB of young garbage pile up in each.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 256 },
    });
    this.#worker.on('message', (message: WorkerMessage) => this.#receive(message));
    this.#worker.on('error', (error) => this.#take()?.reject(error));
    this.#worker.on('exit', () => this.#take()?.reject(new Error('a worker thread ended unexpectedly')));
  }

  run<J extends Job>(job: J, onBytes: (bytes: number) => void): Promise<JobResult<J>> {
    return new Promise<JobResult<J>>((resolve, reject) => {
      this.#pending = { resolve, reject, onBytes };
      this.#worker.postMessage({ id: ++this.#id, job } satisfies HostMessage);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #receive(message: WorkerMessage): void {
    if (message.id !== this.#id) return;
    if (message.type === 'progress') this.#progress(message.bytes);
    else if (message.type === 'done') this.#take()?.resolve(message.result as never);
    else this.#take()?.reject(errorOf(message.failure));
  }

  #progress(bytes: number): void {
    try {
      this.#pending?.onBytes(bytes);
    } catch (error) {
      this.#take()?.reject(error);
    }
  }

  #take(): Pending | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    return pending;
  }
}

function errorOf(failure: Failure): Error {
  switch (failure.kind) {
    case 'cancelled':
      return new Error('stopped because another job failed');
    case 'overflow':
      return new ConversionOverflowError(failure);
    case 'read':
      return new ReadError(failure);
    case 'write':
      return new WriteError({ file: failure.file, reason: failure.message, errno: failure.errno });
    case 'codec':
      return new FormatError({ file: failure.file, tensor: failure.tensor, reason: failure.message });
    case 'other':
      return new AirllmError('ERR_INTERNAL', `a splitting thread failed: ${failure.message}`);
  }
}
