import { basename } from 'node:path';
import { EventQueue } from '../generate/event-queue';
import { resolveGeneration } from '../generate/options';
import type { GenerateRequest, GenerateResult } from '../generate/types';
import { TokenBytes } from '../text';
import { answerOf, type BatchAnswer, refusalOf } from './answers';
import type { Call } from './endpoint';
import { duplicate, type LineProblem, problemOf } from './errors';
import { LineLedger } from './line-ledger';
import { type ParsedLine, parseLine } from './parse-line';
import { Tally } from './tally';
import type { BatchModel, RunBatchOptions } from './types';

/** A batch's input: JSON texts in OpenAI's Batch format, one a line, as strings or as UTF-8; may be endless. */
export type BatchLines = Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

/** A line that is being worked on. */
interface Task {
  readonly customId: string;
  readonly line: number;
  readonly bytes: number;
  readonly call: Call;
  readonly results: GenerateResult[];
  readonly controller: AbortController;
  /** Requests without a result. */
  left: number;
}

/** A request, and whose it is. */
type TaskRequest = GenerateRequest & { readonly task: Task; readonly part: number };

/** Answers to bad lines that nobody has taken at which no further line is read. */
const MOST_UNREAD = 64;

/**
 * Answers the lines of a batch in OpenAI's Batch format, many at once, in the order they are done. Lines are taken as
 * they are needed. A line that is at fault (not JSON, no or a repeated `custom_id`, an unknown `url`, an option that
 * makes no sense, a prompt longer than the context) gets an error for an answer; what is the fault of the drive or the
 * program ends the batch, and so does a source of lines that throws. Leaving the loop gives up what runs. Throws
 * `OptionError` for `defaults` that make no sense. Rejects with the signal's reason.
 */
export async function* runBatch(
  model: BatchModel,
  lines: BatchLines,
  options: RunBatchOptions = {},
): AsyncGenerator<BatchAnswer, void> {
  const run = new Run(model, lines, options);
  yield* run.answers();
}

class Run {
  readonly #model: BatchModel;
  readonly #lines: BatchLines;
  readonly #options: RunBatchOptions;
  readonly #ledger: LineLedger;
  readonly #tokens: TokenBytes | null;
  readonly #modelName: string;
  readonly #tally = new Tally();
  readonly #answers: EventQueue<BatchAnswer>;
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor(model: BatchModel, lines: BatchLines, options: RunBatchOptions) {
    // No line is to blame for these.
    resolveGeneration(options.defaults ?? {}, {});
    this.#model = model;
    this.#lines = lines;
    this.#options = options;
    this.#ledger = options.answered ?? new LineLedger();
    this.#ledger.startOver();
    this.#tokens = model.tokenizer && new TokenBytes(model.tokenizer);
    this.#modelName = options.modelName ?? basename(model.info.dir);
    this.#answers = new EventQueue(() => this.#wake());
  }

  async *answers(): AsyncGenerator<BatchAnswer, void> {
    const { maxActive, signal, onProgress } = this.#options;
    const outcomes = this.#model.generateBatch(this.#requests(), { maxActive, signal });
    const iterator = outcomes[Symbol.asyncIterator]();
    const work = this.#collect(iterator).then(
      () => this.#answers.close(),
      (error: unknown) => this.#answers.fail(error),
    );
    try {
      for await (const answer of this.#answers) {
        yield answer;
        // The reader has come back for more: this one is safe.
        onProgress?.(this.#tally.progress);
      }
      onProgress?.(this.#tally.progress);
    } finally {
      this.#ended = true;
      this.#wake();
      await iterator.return?.();
      await work;
    }
  }

  /** Turns outcomes into answers. */
  async #collect(outcomes: AsyncIterator<{ request: TaskRequest; result?: GenerateResult; error?: unknown }>) {
    for (let next = await outcomes.next(); next.done !== true; next = await outcomes.next()) {
      const { request, result, error } = next.value;
      const { task } = request;
      // Another request of the line has failed.
      if (task.controller.signal.aborted) continue;
      if (result !== undefined) this.#complete(task, request.part, result);
      else this.#failed(task, error);
      await this.#room();
    }
  }

  #complete(task: Task, part: number, result: GenerateResult): void {
    task.results[part] = result;
    this.#tally.generated(result);
    if (--task.left > 0) return;
    const facts = { customId: task.customId, model: this.#modelName };
    this.#tally.done(task.bytes);
    this.#answers.push(answerOf(facts, (body) => task.call.answer(task.results, body)));
  }

  #failed(task: Task, error: unknown): void {
    const problem = problemOf(error);
    if (problem === undefined) throw error;
    task.controller.abort(problem);
    this.#tally.done(task.bytes);
    this.#refuse(task.customId, task.line, problem);
  }

  #refuse(customId: string | null, line: number, problem: LineProblem): void {
    this.#tally.failed();
    this.#answers.push(refusalOf(customId, line, problem));
  }

  /** The requests of the lines that have no answer yet. */
  async *#requests(): AsyncGenerator<TaskRequest, void> {
    let number = 0;
    for await (const line of this.#lines) {
      number++;
      if (this.#ended) return;
      const bytes = byteLength(line) + 1;
      const parsed = parseLine(line, this.#tokens);
      const verdict = parsed && this.#judge(parsed, number);
      if (verdict === undefined || verdict === 'done') {
        this.#tally.skip(bytes, verdict === 'done');
        continue;
      }
      this.#tally.taken();
      if (!('problem' in verdict)) {
        yield* this.#requestsOf(verdict.customId, verdict.call, number, bytes);
        continue;
      }
      this.#tally.done(bytes);
      this.#refuse(verdict.customId, number, verdict.problem);
      await this.#room();
    }
  }

  /** What is to be done with a line, in the light of those before it and of earlier runs. */
  #judge(parsed: ParsedLine, line: number): ParsedLine | 'done' {
    const { customId } = parsed;
    if (customId === null) return this.#ledger.isLineAnswered(line) ? 'done' : parsed;
    if (!this.#ledger.sawBefore(customId)) return this.#ledger.isAnswered(customId) ? 'done' : parsed;
    return this.#ledger.isLineAnswered(line) ? 'done' : { customId, problem: duplicate(customId) };
  }

  *#requestsOf(customId: string, call: Call, line: number, bytes: number): Generator<TaskRequest, void> {
    const controller = new AbortController();
    const task: Task = { customId, line, bytes, call, results: [], controller, left: call.requests.length };
    for (const [part, request] of call.requests.entries()) {
      if (controller.signal.aborted) return;
      yield { ...this.#options.defaults, ...request, signal: controller.signal, task, part };
    }
  }

  /** Until the reader has caught up: a file of bad lines must not pile up in memory. */
  async #room(): Promise<void> {
    while (!this.#ended && this.#answers.unread >= MOST_UNREAD) {
      await new Promise<void>((wake) => this.#waiting.add(wake));
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

function byteLength(line: string | Uint8Array): number {
  return typeof line === 'string' ? Buffer.byteLength(line) : line.byteLength;
}
