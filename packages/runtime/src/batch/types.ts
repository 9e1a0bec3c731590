import type { BatchOutcome, BatchRequests, BatchOptions as RequestsOptions } from '../generate/batch';
import type { GenerateOptions, GenerateRequest } from '../generate/types';
import type { Tokenizer } from '../text';
import type { LineLedger } from './line-ledger';

/** What a batch needs of a model; a `LanguageModel` is one. */
export interface BatchModel {
  readonly tokenizer: Tokenizer | null;
  readonly info: { readonly dir: string };
  generateBatch<Request extends GenerateRequest>(
    requests: BatchRequests<Request>,
    options?: RequestsOptions,
  ): AsyncIterable<BatchOutcome<Request>>;
}

/** How far a batch is. */
export interface BatchProgress {
  /** Lines that got an answer, those that failed included. */
  readonly answered: number;
  readonly failed: number;
  /** Lines that an earlier run had answered. */
  readonly skipped: number;
  /** Lines that are being worked on. */
  readonly active: number;
  /** Bytes of the input's lines that are done with, and of those the ones this run was spared. */
  readonly bytesDone: number;
  readonly bytesSkipped: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly seconds: number;
}

/** What `runBatch` takes beside model and lines. */
export interface RunBatchOptions {
  /** What earlier runs have answered: of an `AnswerFile`. @defaultValue nothing */
  readonly answered?: LineLedger | undefined;
  /** For what a line's body leaves open. */
  readonly defaults?: GenerateOptions | undefined;
  /** Named in the answers. @defaultValue the name of the model's folder */
  readonly modelName?: string | undefined;
  /** Most requests that are worked on at once. @defaultValue as `generateBatch` */
  readonly maxActive?: number | undefined;
  /** Ends the batch; iteration rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Is told after each answer, and at the end. */
  readonly onProgress?: ((progress: BatchProgress) => void) | undefined;
}
