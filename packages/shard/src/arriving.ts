import { type AbsentFiles, ReadError } from '@airllm/loader';
import type { ByteSource } from './plan/pieces';
import type { ConvertPiece, CopyPiece, WriteJob } from './worker/protocol';

/** A model whose files are being downloaded into their folder. Paths are those that the files will have. */
export interface ArrivingSource {
  /** Files that are not there yet: sizes, and ranges of headers. */
  readonly absent: AbsentFiles;
  /** Files with weights in the order in which they come. */
  readonly files: readonly string[];
  /** What the download still writes to the source's drive. */
  readonly bytesToCome: number;
  /** Resolves once bytes [from, to) of a file have come, with the path of a file that has them at the same places. */
  written(file: string, from: number, to: number): Promise<string>;
  /** Resolves once a file is in its place, with its path. */
  ready(file: string): Promise<string>;
  /** Resolves once all files are in their places and verified. Rejects if what was handed out was not what it should be. */
  settled(): Promise<void>;
}

/** When an item's last byte comes: items are worked on in that order. */
export function arrivalRank(
  { pieces }: Pick<WriteJob, 'pieces'>,
  { files }: ArrivingSource,
): readonly [number, number] {
  let last: [number, number] = [-1, 0];
  for (const source of pieces.flatMap(sourcesOf)) {
    if ('bytes' in source) continue;
    const at: [number, number] = [files.indexOf(source.file), source.offset + source.length];
    if (at[0] > last[0] || (at[0] === last[0] && at[1] > last[1])) last = at;
  }
  return last;
}

/**
 * Does a job once its bytes have come. What is read has the name of a download that is not complete; should it lose that
 * name meanwhile, the job is done again by the file's own.
 */
export async function runArrived<T>(
  job: WriteJob,
  arriving: ArrivingSource,
  run: (job: WriteJob) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const written = await placed(job, (file, from, to) => abortable(arriving.written(file, from, to), signal));
  try {
    return await run(written);
  } catch (error) {
    if (!ReadError.isInstance(error) || error.errno !== 'ENOENT') throw error;
    return run(await placed(job, (file) => abortable(arriving.ready(file), signal)));
  }
}

type Locate = (file: string, from: number, to: number) => Promise<string>;

/** The job with the files that have its bytes now. */
async function placed(job: WriteJob, locate: Locate): Promise<WriteJob> {
  const there = async (source: ByteSource): Promise<ByteSource> => {
    if ('bytes' in source) return source;
    const { file, offset, length } = source;
    return { file: await locate(file, offset, offset + length), offset, length };
  };
  const pieces = job.pieces.map(async (piece): Promise<CopyPiece | ConvertPiece> => {
    if (piece.kind === 'copy') return { ...piece, source: await there(piece.source) };
    const inputs = Object.entries(piece.inputs).map(async ([name, source]) => [name, await there(source)] as const);
    return { ...piece, inputs: Object.fromEntries(await Promise.all(inputs)) };
  });
  return { ...job, pieces: await Promise.all(pieces) };
}

function sourcesOf(piece: CopyPiece | ConvertPiece): readonly ByteSource[] {
  return piece.kind === 'copy' ? [piece.source] : Object.values(piece.inputs);
}

/** What `promise` comes to, unless the signal aborts before. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {});
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
