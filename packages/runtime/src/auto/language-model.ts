import type { ComputeDType, ExecutorName, KvCacheDType } from '@airllm/kernels';
import { DisposedError } from '@airllm/loader';
import type { Engine } from '../engine';
import { Batch, type BatchOptions, type BatchRequests } from '../generate/batch';
import { continuationRows } from '../generate/continuation';
import { generate, stream } from '../generate/generate';
import { type PerplexityOptions, type PerplexityResult, perplexity } from '../generate/perplexity';
import { REQUEST_NAMES } from '../generate/request-names';
import type { RowLimit } from '../generate/row-limit';
import type { GenerationSession } from '../generate/session';
import type { DrafterName } from '../generate/speculate/drafter';
import type { GenerateRequest, GenerateResult, StreamEvent } from '../generate/types';
import { checkOptionNames } from '../option-names';
import type { Plan } from '../plan/types';
import type { ChatTemplate, Tokenizer } from '../text';

/** What runs, for people and for the record. */
export interface ModelInfo {
  readonly modelType: string;
  /** Folder the weights are read from. */
  readonly dir: string;
  readonly parameterCount: number;
  readonly executor: ExecutorName;
  /** Instruction set, e.g. `avx512bf16`. */
  readonly isa: string;
  readonly threads: number;
  /** What bf16 weights are multiplied with; all others meet float32. */
  readonly computeDtype: ComputeDType;
  readonly contextLength: number;
  /** How keys and values are kept. */
  readonly kvCacheDtype: KvCacheDType;
  /** How the weights are read: `direct`, `plain` or `mmap`. */
  readonly reader: string;
  /** Who guesses tokens ahead: see `SpeculationOptions`. Null: nobody. */
  readonly drafter: DrafterName | null;
  readonly plan: Plan;
}

/** What a loaded model owns; made by `AutoModel.fromPretrained`. */
export interface ModelParts {
  readonly info: ModelInfo;
  readonly session: GenerationSession;
  /** Waits for the segment being run, then frees all that was opened for it. */
  readonly dispose: () => Promise<void>;
}

/** A model ready to generate. Any number of calls may run at once; each gets the bytes it would have got alone. */
export class LanguageModel {
  readonly info: ModelInfo;
  readonly #session: GenerationSession;
  readonly #dispose: () => Promise<void>;
  #disposal: Promise<void> | undefined;

  constructor({ info, session, dispose }: ModelParts) {
    this.info = info;
    this.#session = session;
    this.#dispose = dispose;
  }

  /** Null for a folder without tokenizer files. */
  get tokenizer(): Tokenizer | null {
    return this.#session.tokenizer;
  }

  /** Null for a model that was not made for chats. */
  get chatTemplate(): ChatTemplate | null {
    return this.#session.chatTemplate;
  }

  /** For programs that bring their own rows. */
  get engine(): Engine {
    return this.#session.engine;
  }

  /** Generates to the end. Throws as {@link LanguageModel.stream}. */
  async generate(request: GenerateRequest): Promise<GenerateResult> {
    checkOptionNames(request, REQUEST_NAMES);
    return generate(this.#live(), request);
  }

  /**
   * Generates and hands on text as it becomes final, then one `finish` event. Leaving the loop ends the work.
   * Throws `OptionError`, `ContextLengthError`, `MissingTokenizerError`, `MissingChatTemplateError`,
   * `ChatTemplateError`, `PromptCacheError`, `StateSpaceError`, `ReadError`, `WriteError`, `DisposedError`, and the
   * signal's reason.
   */
  stream(request: GenerateRequest): AsyncGenerator<StreamEvent, void> {
    checkOptionNames(request, REQUEST_NAMES);
    return stream(this.#live(), request);
  }

  /**
   * Generates from many requests in the same passes, at about the time of one where weights stream. Takes requests as it
   * needs them; iterate over it for the outcomes, in the order they complete. A request that fails is an outcome too; only
   * the batch's own signal and a source of requests that throws end the iteration with an error.
   */
  generateBatch<Request extends GenerateRequest>(
    requests: BatchRequests<Request>,
    options?: BatchOptions,
  ): Batch<Request> {
    return new Batch(this.#live(), requests, options);
  }

  /** Rows that passes get while several texts are generated, from the speeds measured so far. */
  get rowLimit(): RowLimit {
    return this.#live().scheduler.rowLimit;
  }

  /** Logits after every token of a fresh sequence, row-major `[ids.length, vocabSize]`. */
  async logits(ids: readonly number[], options: { signal?: AbortSignal } = {}): Promise<Float32Array> {
    const { engine } = this.#live();
    const { vocabSize } = engine.model.config;
    using sequence = await engine.openSequence(ids.length, options);
    const rows = continuationRows(sequence, ids, engine.model.config);
    const logits = await engine.step(
      rows.map((row) => ({ ...row, wantsLogits: true })),
      options,
    );
    const all = new Float32Array(ids.length * vocabSize);
    logits.forEach((row, i) => {
      all.set(row, i * vocabSize);
    });
    return all;
  }

  /** How well the model predicts a text: see {@link perplexity}. A model opened with more `logitRows` is quicker at it. */
  perplexity(options: PerplexityOptions): Promise<PerplexityResult> {
    return perplexity(this.#live(), options);
  }

  /** Waits for the segment being run, then frees all memory and threads. Idempotent; later use throws. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #live(): GenerationSession {
    if (this.#disposal) throw new DisposedError('model');
    return this.#session;
  }
}
