import { OptionError } from '@airllm/loader';
import { onAbort } from '../on-abort';
import { EventQueue } from './event-queue';
import { linkSignals } from './link-signals';
import { generateSequences, resultOf } from './return-sequences';
import type { RowLimit } from './row-limit';
import type { GenerationSession } from './session';
import type { GenerateRequest, GenerateResult } from './types';

/** Requests are taken as they are needed: an iterable may be endless, or read from a file. */
export type BatchRequests<Request extends GenerateRequest = GenerateRequest> =
  | Iterable<Request>
  | AsyncIterable<Request>;

/** What `generateBatch` takes beside the requests. */
export interface BatchOptions {
  /**
   * Most requests that are worked on at once; fewer where memory for states is short. @defaultValue as many as can have
   * their logits from one pass
   */
  readonly maxActive?: number | undefined;
  /** Ends the batch: requests that run are given up, and iteration rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What became of one request. `index` counts requests from 0 in the order they were taken. */
export type BatchOutcome<Request extends GenerateRequest = GenerateRequest> =
  | { readonly index: number; readonly request: Request; readonly result: GenerateResult; readonly error?: never }
  | { readonly index: number; readonly request: Request; readonly error: unknown; readonly result?: never };

/** A batch in figures, so far. Passes and rows are the model's while the batch ran: other calls share them. */
export interface BatchStats {
  readonly taken: number;
  readonly completed: number;
  readonly failed: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly seconds: number;
  /** New tokens of completed requests per second, over all of them. */
  readonly tokensPerSecond: number;
  readonly passes: number;
  readonly rows: number;
  readonly rowsPerPass: number;
  /** Rows that a pass gets now. */
  readonly rowLimit: RowLimit;
}

/**
 * Many requests, advanced together in the same passes; iterate over it for their outcomes in the order they complete. A
 * request that fails is an outcome too. Work begins with the first `next`; leaving the loop ends it. A source of requests
 * that throws ends the batch when those that run have completed.
 */
export class Batch<Request extends GenerateRequest = GenerateRequest>
  implements AsyncIterableIterator<BatchOutcome<Request>>
{
  readonly #session: GenerationSession;
  readonly #requests: BatchRequests<Request>;
  readonly #maxActive: number;
  readonly #outcomes: EventQueue<BatchOutcome<Request>>;
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal | undefined;
  readonly #before: { readonly passes: number; readonly rows: number };
  #start: number | undefined;
  #end: number | undefined;
  #active = 0;
  #counts = { taken: 0, completed: 0, failed: 0, promptTokens: 0, newTokens: 0 };
  #feeding: Promise<void> | undefined;
  #wake: () => void = () => {};

  /** Throws `OptionError`. */
  constructor(session: GenerationSession, requests: BatchRequests<Request>, options: BatchOptions = {}) {
    const { engine } = session;
    const { maxActive = Math.min(engine.plan.maxRows, engine.mostLogitRows), signal } = options;
    if (!Number.isSafeInteger(maxActive) || maxActive < 1) {
      throw new OptionError({ option: 'maxActive', expected: 'a whole number of at least 1', found: maxActive });
    }
    this.#session = session;
    this.#requests = requests;
    this.#maxActive = maxActive;
    this.#signal = signal;
    this.#outcomes = new EventQueue(() => this.#wake());
    this.#before = session.scheduler.stats;
  }

  get stats(): BatchStats {
    const { scheduler } = this.#session;
    const seconds = this.#start === undefined ? 0 : ((this.#end ?? performance.now()) - this.#start) / 1000;
    const passes = scheduler.stats.passes - this.#before.passes;
    const rows = scheduler.stats.rows - this.#before.rows;
    return {
      ...this.#counts,
      seconds,
      tokensPerSecond: seconds > 0 ? this.#counts.newTokens / seconds : 0,
      passes,
      rows,
      rowsPerPass: passes > 0 ? rows / passes : 0,
      rowLimit: scheduler.rowLimit,
    };
  }

  /** The next outcome; begins the work. Rejects with the signal's reason, or with what the source of requests threw. */
  next(): Promise<IteratorResult<BatchOutcome<Request>, undefined>> {
    this.#feeding ??= this.#feed();
    return this.#outcomes.next();
  }

  /** Gives up what runs. */
  async return(): Promise<IteratorResult<BatchOutcome<Request>, undefined>> {
    this.#giveUp(LEFT);
    this.#outcomes.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Takes requests while there is room for them, and sees their work through. Never rejects. */
  async #feed(): Promise<void> {
    this.#start = performance.now();
    const stop = onAbort(this.#signal, () => {
      this.#outcomes.abort(this.#signal!.reason);
      this.#giveUp(this.#signal!.reason);
    });
    const running = new Set<Promise<void>>();
    const failure = await this.#takeAll(running).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    await Promise.all(running);
    stop();
    this.#end = performance.now();
    if (failure === undefined) this.#outcomes.close();
    else this.#outcomes.fail(failure.error);
  }

  async #takeAll(running: Set<Promise<void>>): Promise<void> {
    if (this.#ending.signal.aborted) return;
    for await (const request of this.#requests) {
      if (this.#ending.signal.aborted) return;
      const index = this.#counts.taken++;
      this.#active++;
      // One request at most waits for memory.
      await new Promise<void>((admitted) => {
        const work = this.#run(request, index, admitted).then(() => {
          running.delete(work);
          this.#active--;
          admitted();
          this.#wake();
        });
        running.add(work);
      });
      await this.#room();
      if (this.#ending.signal.aborted) return;
    }
  }

  /** Until another request may be taken. */
  async #room(): Promise<void> {
    const full = () => this.#active >= this.#maxActive || this.#outcomes.unread >= this.#maxActive;
    while (!this.#ending.signal.aborted && full()) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
  }

  async #run(request: Request, index: number, onAdmitted: () => void): Promise<void> {
    let unlink = () => {};
    try {
      // What is no request at all is refused like any other.
      const linked = linkSignals([request.signal, this.#ending.signal]);
      unlink = linked.unlink;
      const { signal } = linked;
      const results = await generateSequences(this.#session, { ...request, signal }, onAdmitted);
      const result = resultOf(request, results);
      this.#counts.completed++;
      this.#counts.promptTokens += result.usage.promptTokens;
      for (const { usage } of results) this.#counts.newTokens += usage.newTokens;
      this.#outcomes.push({ index, request, result });
    } catch (error) {
      // What was given up with the batch is no outcome.
      if (this.#ending.signal.aborted) return;
      if (this.#session.engine.disposed) {
        // Neither will any other.
        this.#outcomes.fail(error);
        this.#giveUp(error);
        return;
      }
      this.#counts.failed++;
      this.#outcomes.push({ index, request, error });
    } finally {
      unlink();
    }
  }

  #giveUp(reason: unknown): void {
    this.#ending.abort(reason);
    this.#wake();
  }
}

/** Why requests are given up when nobody reads their outcomes any more. */
const LEFT = new Error('the batch was left');
