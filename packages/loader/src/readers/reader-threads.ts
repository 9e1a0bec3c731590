import { SHARE_ENV, Worker } from 'node:worker_threads';
import { requireHere } from '../here';
import type { Failure, HostMessage, Request, ThreadMessage } from './protocol';

/** A request to a thread that failed; whoever asked knows the file and makes a typed error of it. */
export interface Outcome {
  readonly value?: unknown;
  readonly failure?: Failure | undefined;
}

/** Requests that are taken back together. */
export interface Job {
  cancelled: boolean;
}

interface Entry {
  readonly request: Request;
  readonly job: Job;
  /** Undefined: taken back before it began. */
  readonly settle: (outcome: Outcome | undefined) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly running: Map<number, Entry>;
  /** Has begun to work; starting takes some 30 ms of processor time. */
  online: boolean;
}

/** One request runs and one waits in the thread, so that it need not wait for the host's event loop in between. */
const DEPTH = 2;

/** A thread's whole JavaScript is a message loop; the default limits would let it grow to gigabytes. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 };

/**
 * Threads that answer requests from one queue. They are started when there is work for them, one after the other (all at
 * once would keep the first from its work), and keep the process alive only while they have some.
 */
export class ReaderThreads {
  readonly #threads: Thread[] = [];
  readonly #idle: (() => void)[] = [];
  #queue: Entry[] = [];
  #running = 0;
  #nextId = 0;
  #busySince = 0;
  #busyMs = 0;
  #answered = 0;
  #closing = false;

  constructor(readonly limit: number) {}

  /** Starts the first thread ahead of its first request. */
  warmUp(): void {
    if (this.#threads.length > 0 || this.#closing) return;
    try {
      this.#start();
    } catch {
      // The first request will say so.
    }
  }

  get answered(): number {
    return this.#answered;
  }

  get busyMs(): number {
    return this.#busyMs + (this.#running > 0 ? performance.now() - this.#busySince : 0);
  }

  /** Resolves to the answer, or to undefined if the job was cancelled before a thread took the request. */
  submit(request: Request, job: Job): Promise<Outcome | undefined> {
    if (this.#closing && request.op !== 'close') return Promise.resolve(undefined);
    return new Promise((settle) => {
      this.#queue.push({ request, job, settle });
      this.#dispatch();
    });
  }

  /** Takes back what has not begun. */
  cancel(job: Job): void {
    job.cancelled = true;
    const taken = this.#queue.filter((entry) => entry.job === job);
    this.#queue = this.#queue.filter((entry) => entry.job !== job);
    for (const entry of taken) entry.settle(undefined);
  }

  /** Takes back everything that has not begun, and begins nothing more; only closing files goes on. */
  cancelAll(): void {
    this.#closing = true;
    for (const entry of this.#queue.splice(0)) {
      entry.job.cancelled = true;
      entry.settle(undefined);
    }
  }

  /** Waits for what is running and ends the threads. */
  async close(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await Promise.all(this.#threads.splice(0).map((thread) => thread.worker.terminate()));
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      try {
        const thread = this.#freeThread();
        if (thread === undefined) return;
        this.#send(thread, this.#queue.shift()!);
      } catch (error) {
        // No thread could be started at all (its file is missing, or the system has no more threads).
        const message = `no reader thread (keep @airllm/* out of bundles): ${(error as Error).message}`;
        this.#queue.shift()?.settle({ failure: { errno: undefined, message, found: 0 } });
      }
    }
  }

  #freeThread(): Thread | undefined {
    let best: Thread | undefined;
    for (const thread of this.#threads) {
      if (best === undefined || thread.running.size < best.running.size) best = thread;
    }
    if (best !== undefined && best.running.size === 0) return best;
    const starting = this.#threads.some((thread) => !thread.online);
    if (this.#threads.length < this.limit && !starting) return this.#start();
    return best !== undefined && best.running.size < DEPTH ? best : undefined;
  }

  #send(thread: Thread, entry: Entry): void {
    const id = this.#nextId++;
    if (this.#running++ === 0) this.#busySince = performance.now();
    if (thread.running.size === 0) thread.worker.ref();
    thread.running.set(id, entry);
    thread.worker.postMessage({ id, request: entry.request } satisfies HostMessage);
  }

  #start(): Thread {
    const worker = new Worker(requireHere().resolve('#reader-worker'), {
      // Nothing of the host's flags (loaders, inspectors) belongs into a reader thread.
      execArgv: [],
      env: SHARE_ENV,
      // Descriptors are the process's: one thread opens, all read, the reader closes.
      trackUnmanagedFds: false,
      resourceLimits: RESOURCE_LIMITS,
      name: 'airllm-reader',
    });
    const thread: Thread = { worker, running: new Map(), online: false };
    worker.unref();
    worker.on('online', () => {
      thread.online = true;
      this.#dispatch();
    });
    worker.on('message', (message: ThreadMessage) => this.#answer(thread, message));
    worker.on('error', (error) => this.#lost(thread, `the reader thread died: ${error.message}`));
    worker.on('exit', () => this.#lost(thread, 'the reader thread ended'));
    this.#threads.push(thread);
    return thread;
  }

  #answer(thread: Thread, message: ThreadMessage): void {
    const entry = thread.running.get(message.id);
    if (entry === undefined) return;
    thread.running.delete(message.id);
    this.#answered++;
    // First the next requests: while the queue has some, the threads are never idle, nor closed as such.
    this.#dispatch();
    if (thread.running.size === 0) thread.worker.unref();
    this.#finished();
    entry.settle(message);
  }

  #lost(thread: Thread, message: string): void {
    const index = this.#threads.indexOf(thread);
    if (index >= 0) this.#threads.splice(index, 1);
    const entries = [...thread.running.values()];
    thread.running.clear();
    for (const entry of entries) {
      this.#finished();
      entry.settle({ failure: { errno: undefined, message, found: 0 } });
    }
    this.#dispatch();
  }

  #finished(): void {
    if (--this.#running > 0) return;
    this.#busyMs += performance.now() - this.#busySince;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
