import { existsSync } from 'node:fs';
import path from 'node:path';
import { FormatError, MissingFileError } from '@airllm/loader';
import { type ShardProblem, VerifyError } from './errors';
import { MANIFEST_FILE, type Manifest, readManifest } from './manifest';
import { resolveConcurrency, type ShardOptions, threadsFor } from './options';
import { ProgressMeter } from './progress';
import { WorkerPool } from './worker/pool';
import type { CheckJob } from './worker/protocol';

/** What `verifyShards` takes beside the folder. */
export type VerifyOptions = ShardOptions;

/** What was read back and found right. */
export interface VerifyReport {
  /** Absolute path of the layered folder. */
  readonly dir: string;
  readonly files: number;
  readonly tensors: number;
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Reads a layered folder back, every byte of every file, and compares it with its checksums.
 *
 * Throws `VerifyError` with everything that is wrong, by file and tensor; `MissingFileError` where there is no such folder;
 * `ReadError`, `OptionError`, or the signal's reason.
 */
export async function verifyShards(dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const started = performance.now();
  const concurrency = resolveConcurrency(options.concurrency);
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const folder = path.resolve(dir);
  const manifest = await trustedManifest(folder);
  const jobs = checkJobs(folder, manifest);
  const bytes = jobs.reduce((sum, job) => sum + job.bytes, 0);
  const meter = new ProgressMeter('verify', bytes, onProgress);
  const problems: ShardProblem[][] = jobs.map(() => []);
  const pool = new WorkerPool(threadsFor(concurrency, jobs.length, bytes), { direct: true });
  try {
    await pool.each(
      jobs.entries(),
      async ([i, job], run) => {
        const { problems: found } = await run(job);
        problems[i] = found.map((problem) => ({ file: nameIn(folder, job), ...problem }));
      },
      { signal, onBytes: ([, job], count) => meter.advance(nameIn(folder, job), count) },
    );
  } finally {
    await pool.close();
  }
  if (problems.flat().length > 0) throw new VerifyError({ dir: folder, problems: problems.flat() });
  meter.finish();
  const tensors = manifest.files.reduce((sum, file) => sum + file.tensors.length, 0);
  return { dir: folder, files: jobs.length, tensors, bytes, seconds: (performance.now() - started) / 1000 };
}

async function trustedManifest(dir: string): Promise<Manifest> {
  try {
    return await readManifest(dir);
  } catch (cause) {
    if (!FormatError.isInstance(cause) && !MissingFileError.isInstance(cause)) throw cause;
    if (!existsSync(dir)) throw new MissingFileError({ file: dir, neededBy: dir, cause });
    const reason = FormatError.isInstance(cause)
      ? cause.reason
      : 'missing: the split is unfinished, or this is no layered folder';
    throw new VerifyError({ dir, problems: [{ file: MANIFEST_FILE, tensor: null, reason }], cause });
  }
}

function checkJobs(dir: string, manifest: Manifest): CheckJob[] {
  const weights = manifest.files.map(({ file, bytes, headerBytes, headerSha256, tensors }): CheckJob => {
    return { kind: 'check', path: path.join(dir, file), bytes, headerBytes, headerSha256, tensors };
  });
  // A copied file is checked as if it were all header.
  const extras = manifest.extras.map(({ file, bytes, sha256 }): CheckJob => {
    return { kind: 'check', path: path.join(dir, file), bytes, headerBytes: bytes, headerSha256: sha256, tensors: [] };
  });
  return [...weights, ...extras];
}

function nameIn(dir: string, job: CheckJob): string {
  return path.relative(dir, job.path).split(path.sep).join('/');
}
