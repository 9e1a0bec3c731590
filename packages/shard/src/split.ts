import { setMaxListeners } from 'node:events';
import { readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { PackedTensor } from '@airllm/kernels';
import { errnoName, OptionError, WriteError } from '@airllm/loader';
import { type ArrivingSource, abortable, arrivalRank, runArrived } from './arriving';
import { compressTensors } from './compress/choose';
import type { Compression } from './compress/kinds';
import { configText } from './config-text';
import { deleteWeights, resumeDeletion } from './delete-source';
import { NoSpaceError, SourceChangedError, TargetError } from './errors';
import { MANIFEST_FORMAT, MANIFEST_VERSION, type Manifest, type SourceDescription } from './manifest';
import { type ResolvedSplitOptions, resolveSplitOptions, type SplitOptions, threadsFor } from './options';
import { extraItems, type WorkItem, weightItem } from './plan/items';
import { planDigest, planFiles } from './plan/plan';
import { ProgressMeter } from './progress';
import { describeArriving, describeSource, findExtras, type Origin, type SourceExtras, sourceChanges } from './source';
import { openSource } from './sources/open-source';
import { OWN_METHOD } from './sources/quantisation-config';
import { isConversion, type ModelSource, type SourceTensor } from './sources/source';
import type { JournalHeader } from './target/journal';
import { checkSpace, freeBytes, MARGIN_BYTES } from './target/space';
import { Target } from './target/target';
import { verifyShards } from './verify';
import { WorkerPool } from './worker/pool';

const CONFIG_FILE = 'config.json';

/** What a split did. */
export interface SplitReport {
  /** Absolute path of the layered folder. */
  readonly dir: string;
  readonly manifest: Manifest;
  /** Files this run wrote; the others were there from an earlier one. */
  readonly filesWritten: number;
  readonly bytesWritten: number;
  /** Of each matrix that `compress` made smaller: relative root mean square of the error. */
  readonly errors: ReadonlyMap<string, number>;
  /** Names in the source's folder that were left behind: other weights, folders, hidden files. */
  readonly notCopied: readonly string[];
  /** Absolute paths of the files removed by `deleteSource`. */
  readonly deleted: readonly string[];
  readonly seconds: number;
}

/**
 * Splits a model (whatever `openSource` opens) into one safetensors file per layer (per expert), with checksums;
 * quantised tensors whose layout no executor computes with are converted to one that executors do. Run again after any interruption, it continues; a finished split is recognised and left alone.
 *
 * Throws `NoSpaceError`, `SourceChangedError`, `TargetError`, `TargetLockedError`, `ConversionOverflowError`,
 * `OptionError`, with `deleteSource` also `VerifyError`; whatever `openSource` throws; `ReadError`, `WriteError`;
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
  if (done !== null) {
    const errors = errorsOf(done.manifest);
    return { ...done, dir, filesWritten: 0, bytesWritten: 0, errors, notCopied: [], seconds: since(started) };
  }

  const work = await prepare(source, dir, settings);
  const written = (await completed(dir, work, settings)) ?? (await write(dir, work, settings));
  const deleted = settings.deleteSource ? await verifyAndDelete(dir, work.origin, settings) : [];
  const errors = errorsOf(written.manifest);
  return { ...written, dir, errors, notCopied: work.extras.notCopied, deleted, seconds: since(started) };
}

interface Work {
  readonly origin: Origin;
  readonly header: JournalHeader;
  readonly items: readonly WorkItem[];
  readonly extras: SourceExtras;
}

interface Written {
  readonly manifest: Manifest;
  readonly filesWritten: number;
  readonly bytesWritten: number;
}

/** Reads headers and settles everything before a byte is written. */
async function prepare(source: string, dir: string, settings: ResolvedSplitOptions): Promise<Work> {
  const { signal, arriving } = settings;
  const published = await openSource(source, { signal, absent: arriving?.absent });
  await refuseOwnSource(published.dir, dir);
  refuseQuantised(published, settings);
  const model = settings.compress === null ? published : compressed(published, settings.compress);
  const { kind, files } = model;
  const origin: Origin = { kind, dir: model.dir, files };
  const extras = await findExtras(origin);
  const description = await (arriving
    ? describeArriving(origin, extras, arriving.absent)
    : describeSource(origin, extras));
  const planned = planFiles(model, settings.dtype);
  const texts = await textsOf(model, extras, settings);
  const beside = extraItems(model.dir, description, texts, planned, hasPacked(model));
  return {
    origin,
    header: {
      format: 'airllm-split',
      version: 1,
      source: description,
      dtype: settings.dtype,
      ...(settings.compress && { compress: settings.compress }),
      plan: planDigest(planned),
    },
    items: [...planned.map(weightItem), ...beside],
    extras,
  };
}

function compressed(model: ModelSource, kind: Compression): ModelSource {
  return { ...model, tensors: compressTensors(model, kind), quantisation: `${OWN_METHOD}-${kind}` };
}

/** Files that are not copied as they are: made by us, or by us made fit. */
async function textsOf(
  model: ModelSource,
  { copied }: SourceExtras,
  settings: ResolvedSplitOptions,
): Promise<Map<string, string>> {
  const texts = new Map(model.extras);
  let config = texts.get(CONFIG_FILE);
  if (config === undefined && copied.includes(CONFIG_FILE)) {
    config = await readFile(path.join(model.dir, CONFIG_FILE), 'utf8');
  } else if (config === undefined && model.config !== null) config = `${JSON.stringify(model.config, null, 1)}\n`;
  if (config === undefined) return texts;
  const source = hasPacked(model) ? (model.quantisation ?? model.kind) : null;
  return texts.set(CONFIG_FILE, configText(config, { dtype: settings.dtype, source }));
}

async function completed(dir: string, work: Work, settings: ResolvedSplitOptions): Promise<Written | null> {
  const manifest = settings.restart ? null : await Target.complete(dir, work.header);
  if (manifest === null) return null;
  await Target.tidy(dir);
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
      settings.arriving && { dir: work.origin.dir, bytes: settings.arriving.bytesToCome },
    );
    await writeItems(target, work.items, todo, settings);
    const manifest = manifestOf(target, work, await settledSource(dir, work, settings));
    await target.seal(manifest);
    return { manifest, filesWritten: todo.length, bytesWritten: totalBytes(todo) };
  } catch (error) {
    await target.abandon();
    if (!isDriveFull(error)) throw error;
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
  const { arriving } = settings;
  // Who waits for bytes hears of a failure elsewhere, too.
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const onAbort = () => stop.abort(settings.signal?.reason);
  settings.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await pool.each(
      (arriving ? inOrderOfArrival(todo, arriving) : todo).entries(),
      async ([number, item], run) => {
        const part = target.partPath(number);
        const job = item.job(part);
        try {
          const result = await (arriving ? runArrived(job, arriving, run, stop.signal) : run(job));
          await target.finish(part, item.record(result));
        } catch (error) {
          stop.abort(error);
          throw error;
        }
      },
      { signal: settings.signal, onBytes: ([, item], bytes) => meter.advance(item.file, bytes) },
    );
  } finally {
    settings.signal?.removeEventListener('abort', onAbort);
    await pool.close();
  }
  meter.finish();
}

function inOrderOfArrival(items: readonly WorkItem[], arriving: ArrivingSource): WorkItem[] {
  const ranked = items.map((item) => ({ item, rank: arrivalRank(item.job(''), arriving) }));
  return ranked.sort(({ rank: a }, { rank: b }) => a[0] - b[0] || a[1] - b[1]).map(({ item }) => item);
}

function manifestOf(target: Target, work: Work, source: SourceDescription): Manifest {
  const records = work.items.map(({ file }) => target.done.get(file)!);
  const files = records.flatMap((record) => (record.kind === 'file' ? [record.file] : []));
  const extras = records.flatMap((record) => (record.kind === 'extra' ? [record.extra] : []));
  const byteLength = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const { dtype, compress } = work.header;
  return {
    format: MANIFEST_FORMAT,
    formatVersion: MANIFEST_VERSION,
    source,
    dtype,
    ...(compress && { compress }),
    byteLength,
    files,
    extras,
  };
}

function errorsOf({ files }: Manifest): Map<string, number> {
  const tensors = files.flatMap((file) => file.tensors);
  return new Map(tensors.flatMap(({ name, error }) => (error === undefined ? [] : [[name, error]])));
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
function refuseQuantised(model: ModelSource, settings: ResolvedSplitOptions): void {
  if (settings.dtype === null || !hasPacked(model)) return;
  throw new OptionError({
    option: 'dtype',
    expected: `nothing, as this model is quantised (${model.quantisation ?? model.kind})`,
    found: settings.dtype,
  });
}

function hasPacked(model: ModelSource): boolean {
  return [...model.tensors.values()].some(isPacked);
}

function isPacked(tensor: SourceTensor): boolean {
  return PackedTensor.isInstance(tensor) || (isConversion(tensor) && 'format' in tensor.output);
}

/** The source as it is at the end: the same as at the beginning, or there by now. Throws `SourceChangedError`. */
async function settledSource(dir: string, work: Work, settings: ResolvedSplitOptions): Promise<SourceDescription> {
  const { arriving, signal } = settings;
  if (arriving !== undefined) await (signal ? abortable(arriving.settled(), signal) : arriving.settled());
  const now = await describeSource(work.origin, work.extras);
  const changes = arriving ? [] : sourceChanges(work.header.source, now);
  if (changes.length > 0) throw new SourceChangedError({ dir, changes });
  return now;
}

function totalBytes(items: readonly WorkItem[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}

/** The drive is full, or the user's quota used up. */
function isDriveFull(error: unknown): boolean {
  const errno = WriteError.isInstance(error) ? error.errno : errnoName(error);
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}
