import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { type Checkpoint, OptionError, openCheckpoint, WriteError } from '@airllm/loader';
import { deleteWeights, resumeDeletion } from './delete-source';
import { NoSpaceError, SourceChangedError, TargetError } from './errors';
import { MANIFEST_FORMAT, MANIFEST_VERSION, type Manifest } from './manifest';
import { type ResolvedSplitOptions, resolveSplitOptions, type SplitOptions, threadsFor } from './options';
import { extraItems, type WorkItem, weightItem } from './plan/items';
import { planDigest, planFiles } from './plan/plan';
import { ProgressMeter } from './progress';
import { describeSource, findExtras, sourceChanges } from './source';
import { errnoName, isFull } from './system';
import type { JournalHeader } from './target/journal';
import { checkSpace, freeBytes, MARGIN_BYTES } from './target/space';
import { Target } from './target/target';
import { verifyShards } from './verify';
import { WorkerPool } from './worker/pool';

/** What a split did. */
export interface SplitReport {
  /** Absolute path of the layered folder. */
  readonly dir: string;
  readonly manifest: Manifest;
  /** Files this run wrote; the others were there from an earlier one. */
  readonly filesWritten: number;
  readonly bytesWritten: number;
  /** Names in the source's folder that were left behind: other weights, folders, hidden files. */
  readonly notCopied: readonly string[];
  /** Absolute paths of the files removed by `deleteSource`. */
  readonly deleted: readonly string[];
  readonly seconds: number;
}

/**
 * Splits a checkpoint (a folder, a .safetensors file or an index) into one safetensors file per layer (per expert),
 * with checksums. Run again after any interruption, it continues; a finished split is recognised and left alone.
 *
 * Throws `NoSpaceError`, `SourceChangedError`, `TargetError`, `TargetLockedError`, `ConversionOverflowError`,
 * `OptionError`, with `deleteSource` also `VerifyError`; whatever `openCheckpoint` throws; `ReadError`, `WriteError`;
 * the signal's reason.
 */
export async function splitCheckpoint(
  source: string,
  target: string,
  options: SplitOptions = {},
): Promise<SplitReport> {
  const started = performance.now();
  const settings = resolveSplitOptions(options);
  settings.signal?.throwIfAborted();
  const dir = path.resolve(target);
  const done = settings.deleteSource ? await resumeDeletion(source, dir, settings) : null;
  if (done !== null) return { ...done, dir, filesWritten: 0, bytesWritten: 0, notCopied: [], seconds: since(started) };

  const work = await prepare(source, dir, settings);
  const written = (await completed(dir, work, settings)) ?? (await write(dir, work, settings));
  const deleted = settings.deleteSource ? await verifyAndDelete(dir, work.origin, settings) : [];
  return { ...written, dir, notCopied: work.notCopied, deleted, seconds: since(started) };
}

/** Not the whole checkpoint: half a million tensors would stay in memory for nothing. */
type Origin = Pick<Checkpoint, 'dir' | 'files' | 'layout'>;

interface Work {
  readonly origin: Origin;
  readonly header: JournalHeader;
  readonly items: readonly WorkItem[];
  readonly copied: readonly string[];
  readonly notCopied: readonly string[];
}

interface Written {
  readonly manifest: Manifest;
  readonly filesWritten: number;
  readonly bytesWritten: number;
}

/** Reads headers and settles everything before a byte is written. */
async function prepare(source: string, dir: string, settings: ResolvedSplitOptions): Promise<Work> {
  const checkpoint = await openCheckpoint(source, { signal: settings.signal });
  await refuseOwnSource(checkpoint.dir, dir);
  refuseQuantised(checkpoint, settings);
  const { copied, notCopied } = await findExtras(checkpoint);
  const description = await describeSource(checkpoint, copied);
  const files = planFiles(checkpoint, settings.dtype);
  const extras = await extraItems(checkpoint, description, files, settings.dtype);
  return {
    origin: { dir: checkpoint.dir, files: checkpoint.files, layout: checkpoint.layout },
    header: { format: 'airllm-split', version: 1, source: description, dtype: settings.dtype, plan: planDigest(files) },
    items: [...files.map(weightItem), ...extras],
    copied,
    notCopied,
  };
}

async function completed(dir: string, work: Work, settings: ResolvedSplitOptions): Promise<Written | null> {
  const manifest = settings.restart ? null : await Target.complete(dir, work.header);
  if (manifest === null) return null;
  new ProgressMeter('split', totalBytes(work.items), settings.onProgress).finish();
  return { manifest, filesWritten: 0, bytesWritten: 0 };
}

async function write(dir: string, work: Work, settings: ResolvedSplitOptions): Promise<Written> {
  const names = work.items.map(({ file }) => file);
  const target = await Target.open(dir, work.header, settings.restart, names);
  try {
    const todo = work.items.filter(({ file }) => !target.done.has(file));
    await checkSpace(
      dir,
      todo.map(({ bytes }) => bytes),
    );
    await writeItems(target, work.items, todo, settings);
    await refuseChangedSource(dir, work);
    const manifest = manifestOf(target, work);
    await target.seal(manifest);
    return { manifest, filesWritten: todo.length, bytesWritten: totalBytes(todo) };
  } catch (error) {
    await target.abandon();
    if (!isFull(WriteError.isInstance(error) ? error.errno : errnoName(error))) throw error;
    const left = totalBytes(work.items.filter(({ file }) => !target.done.has(file)));
    throw new NoSpaceError({ dir, needed: left + MARGIN_BYTES, available: await freeBytes(dir), cause: error });
  }
}

async function writeItems(
  target: Target,
  items: readonly WorkItem[],
  todo: readonly WorkItem[],
  settings: ResolvedSplitOptions,
): Promise<void> {
  const total = totalBytes(items);
  const meter = new ProgressMeter('split', total, settings.onProgress, total - totalBytes(todo));
  const pool = new WorkerPool(threadsFor(settings.concurrency, todo.length, totalBytes(todo)), { direct: true });
  try {
    await pool.each(
      todo.entries(),
      async ([number, item], run) => {
        const part = target.partPath(number);
        await target.finish(part, item.record(await run(item.job(part))));
      },
      { signal: settings.signal, onBytes: ([, item], bytes) => meter.advance(item.file, bytes) },
    );
  } finally {
    await pool.close();
  }
  meter.finish();
}

function manifestOf(target: Target, work: Work): Manifest {
  const records = work.items.map(({ file }) => target.done.get(file)!);
  const files = records.flatMap((record) => (record.kind === 'file' ? [record.file] : []));
  const extras = records.flatMap((record) => (record.kind === 'extra' ? [record.extra] : []));
  const byteLength = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const { source, dtype } = work.header;
  return { format: MANIFEST_FORMAT, formatVersion: MANIFEST_VERSION, source, dtype, byteLength, files, extras };
}

async function verifyAndDelete(dir: string, origin: Origin, settings: ResolvedSplitOptions): Promise<string[]> {
  const { signal, onProgress, concurrency } = settings;
  await verifyShards(dir, { signal, onProgress, concurrency });
  return deleteWeights(origin.files);
}

async function refuseOwnSource(sourceDir: string, dir: string): Promise<void> {
  const target = await realpath(dir).catch(() => dir);
  if ((await realpath(sourceDir)) !== target) return;
  throw new TargetError({ dir, reason: 'it is the source itself, which is never written into; choose another target' });
}

/** Scales and zero points of quantised layouts are exact numbers that belong to their codes. */
function refuseQuantised(checkpoint: Checkpoint, settings: ResolvedSplitOptions): void {
  if (settings.dtype === null || checkpoint.config === null) return;
  if (checkpoint.config.quantization_config === undefined && checkpoint.config.quantization === undefined) return;
  throw new OptionError({
    option: 'dtype',
    expected: 'nothing, as this checkpoint is quantised',
    found: settings.dtype,
  });
}

async function refuseChangedSource(dir: string, work: Work): Promise<void> {
  const changes = sourceChanges(work.header.source, await describeSource(work.origin, work.copied));
  if (changes.length > 0) throw new SourceChangedError({ dir, changes });
}

function totalBytes(items: readonly WorkItem[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
