import type { DType } from '@airllm/loader';
import type { ByteSource } from '../plan/pieces';
import type { ConversionPart } from '../sources/convert';

/** Bytes to bring from a source file, or known already; converted when `to` differs from `from`. */
export interface CopyPiece {
  readonly kind: 'copy';
  /** For errors. */
  readonly name: string;
  readonly source: ByteSource;
  readonly from: DType;
  readonly to: DType;
  /** Where it begins in the file written; the bytes before it, back to the tensor before, are zeros. */
  readonly at: number;
}

/** A tensor to be rewritten by a codec into one or more, each with its place in the file written. */
export interface ConvertPiece {
  readonly kind: 'convert';
  readonly name: string;
  /** The first file it reads, for errors. */
  readonly file: string;
  readonly codec: string;
  readonly params: unknown;
  readonly shape: readonly number[];
  readonly inputs: Readonly<Record<string, ByteSource>>;
  /** `to`: what a dense result becomes after that. */
  readonly parts: readonly (ConversionPart & { readonly to: DType; readonly at: number })[];
}

/** Write a file: a header given in full, then pieces at rising offsets. */
export interface WriteJob {
  readonly kind: 'write';
  readonly path: string;
  readonly header: Uint8Array;
  readonly pieces: readonly (CopyPiece | ConvertPiece)[];
}

export interface WriteResult {
  readonly headerSha256: string;
  /** Each as written, in order. */
  readonly tensors: readonly WrittenTensor[];
}

export interface WrittenTensor {
  readonly sha256: string;
  /** Relative root mean square of what a codec lost. */
  readonly error?: number;
}

/** Read a file back and compare it with its checksums. */
export interface CheckJob {
  readonly kind: 'check';
  readonly path: string;
  readonly bytes: number;
  readonly headerBytes: number;
  readonly headerSha256: string;
  /** At rising offsets; what lies between them must be zeros. */
  readonly tensors: readonly {
    readonly name: string;
    readonly offset: number;
    readonly bytes: number;
    readonly sha256: string;
  }[];
}

export interface CheckResult {
  /** `tensor` is null for the file as a whole, its header and padding. */
  readonly problems: readonly { readonly tensor: string | null; readonly reason: string }[];
}

export type Job = WriteJob | CheckJob;
export type JobResult<J extends Job> = J extends WriteJob ? WriteResult : CheckResult;

/** Why a job failed, as plain facts: classes do not survive the way between threads. */
export type Failure =
  | { readonly kind: 'cancelled' }
  | {
      readonly kind: 'overflow';
      readonly file: string;
      readonly tensor: string;
      readonly index: number;
      readonly value: number;
      readonly dtype: string;
    }
  | {
      readonly kind: 'read';
      readonly file: string;
      readonly offset: number;
      readonly expected: number;
      readonly found: number;
      readonly errno?: string;
    }
  | { readonly kind: 'write'; readonly file: string; readonly message: string; readonly errno?: string }
  | { readonly kind: 'codec'; readonly file: string; readonly tensor: string; readonly message: string }
  | { readonly kind: 'other'; readonly message: string };

/** Thrown inside a worker, sent to the host as its facts. */
export class JobFailure extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.kind);
    this.failure = failure;
  }
}

export interface WorkerSettings {
  /** Past the page cache where the drive allows it. */
  readonly direct: boolean;
  /** One Int32: not 0 means stop. */
  readonly cancel: SharedArrayBuffer;
}

export interface HostMessage {
  readonly id: number;
  readonly job: Job;
}

export type WorkerMessage =
  | { readonly id: number; readonly type: 'progress'; readonly bytes: number }
  | { readonly id: number; readonly type: 'done'; readonly result: WriteResult | CheckResult }
  | { readonly id: number; readonly type: 'failed'; readonly failure: Failure };
