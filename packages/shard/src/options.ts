import { availableParallelism } from 'node:os';
import { OptionError } from '@airllm/loader';
import type { ArrivingSource } from './arriving';
import { COMPRESSIONS, type Compression } from './compress/kinds';
import { type ShardDType, STORED_DTYPE } from './plan/plan';
import type { ShardProgress } from './progress';

/** What splitting and verifying have in common. */
export interface ShardOptions {
  /** Aborting rejects with the signal's reason. A split keeps its finished files and resumes from them. */
  signal?: AbortSignal | undefined;
  /** Told at most ten times a second. An error it throws ends the work. */
  onProgress?: ((progress: ShardProgress) => void) | undefined;
  /** Files worked on at a time, 1 to 16, each by a thread with 8 MiB of buffers. Default: 2 to 4, by the processors. */
  concurrency?: number | undefined;
}

/** What `splitCheckpoint` takes beside source and target. */
export interface SplitOptions extends ShardOptions {
  /**
   * Converts float32, float16 and bfloat16 tensors to this type, rounding to nearest even. Other types are kept.
   * Default: every tensor keeps its stored bytes.
   */
  dtype?: ShardDType | undefined;
  /**
   * Compresses the matrices of the layers: `'8bit'` and `'4bit'` integers or the `'nf4'` codebook, with a scale for every
   * 64 weights that is searched for the smallest squared error. The head becomes 8 bits; norms, biases, embeddings and
   * routers stay as they are. Default: nothing is compressed.
   */
  compress?: Compression | undefined;
  /** Discards what an earlier run left in the target instead of resuming it. Default false. */
  restart?: boolean | undefined;
  /**
   * `'after-verify'` removes the source's weight files (of links also what they point to) once every byte of the
   * target has been read back and found right. Default: the source is never touched.
   */
  deleteSource?: 'after-verify' | undefined;
  /**
   * The source is still being downloaded: each file is written when what it is made of has come, and the target is
   * finished when all of the source is there and verified. What an interrupted run of this kind left is begun
   * anew, for nobody knows whether what it has read was thrown away since. Default: all of the source is there.
   */
  arriving?: ArrivingSource | undefined;
}

/** Options with their defaults filled in. */
export interface ResolvedSplitOptions {
  readonly dtype: ShardDType | null;
  readonly compress: Compression | null;
  readonly restart: boolean;
  readonly deleteSource: boolean;
  readonly arriving: ArrivingSource | undefined;
  readonly concurrency: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: ShardProgress) => void) | undefined;
}

/** Throws `OptionError`. */
export function resolveSplitOptions(options: SplitOptions): ResolvedSplitOptions {
  const { dtype = null, compress = null, deleteSource, arriving, signal, onProgress } = options;
  const restart = options.restart ?? false;
  if (dtype !== null && !Object.hasOwn(STORED_DTYPE, dtype)) {
    throw new OptionError({ option: 'dtype', expected: Object.keys(STORED_DTYPE).join(', '), found: dtype });
  }
  if (compress !== null && !COMPRESSIONS.includes(compress)) {
    throw new OptionError({ option: 'compress', expected: COMPRESSIONS.join(', '), found: compress });
  }
  if (deleteSource !== undefined && deleteSource !== 'after-verify') {
    throw new OptionError({ option: 'deleteSource', expected: "'after-verify' or nothing", found: deleteSource });
  }
  const concurrency = resolveConcurrency(options.concurrency);
  const resolved = { dtype, compress, restart, deleteSource: deleteSource !== undefined, concurrency, arriving };
  return { ...resolved, signal, onProgress };
}

/** Starting a thread takes as long as writing some 30 MB. */
const BYTES_PER_THREAD = 32 << 20;

/** Threads worth starting for this much work. */
export function threadsFor(concurrency: number, files: number, bytes: number): number {
  return Math.max(1, Math.min(concurrency, files, Math.ceil(bytes / BYTES_PER_THREAD)));
}

/** Throws `OptionError`. */
export function resolveConcurrency(value: number | undefined): number {
  if (value === undefined) return Math.min(4, Math.max(2, availableParallelism()));
  if (Number.isInteger(value) && value >= 1 && value <= 16) return value;
  throw new OptionError({ option: 'concurrency', expected: 'a whole number from 1 to 16', found: value });
}
