import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Extent, HostBuffer, openReader, type Reader } from '@airllm/loader';

/** How quickly a folder's drive gives what weights are read in: 16 MiB at a time, as the engine does. */
export interface DriveSpeed {
  /** Folder of the files that were read. */
  readonly dir: string;
  /** Bytes per second past the page cache; null where the drive does not know direct I/O. */
  readonly direct: number | null;
  /** Bytes per second through the page cache, from which the bytes had been dropped before. */
  readonly buffered: number;
  /** Seconds until a single read of 4 KiB is there, the drive standing still before it. */
  readonly readSeconds: number;
}

export interface DriveOptions {
  readonly dir: string;
  /** Read a temporary file of 256 MiB where the folder has nothing large enough. @defaultValue false */
  readonly writeTemporary?: boolean | undefined;
  /** Most memory to read into. @defaultValue 128 MiB */
  readonly bufferBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const MIB = 2 ** 20;
/** One request of the reader. */
const CHUNK = 16 * MIB;
/** What the engine keeps in flight. */
const IN_FLIGHT = 128 * MIB;
/** Less says little about a rate. */
const LEAST_BYTES = 64 * MIB;
const MOST_BYTES = 2e9;
const DIRECT_MS = 1400;
const BUFFERED_MS = 500;
const LATENCY_READS = 12;
const LATENCY_MS = 200;
const TEMPORARY_BYTES = 256 * MIB;

interface SizedFile {
  readonly path: string;
  readonly size: number;
}

/**
 * Reads files that are there, from a place chosen at random on, for three seconds at most. Null where the folder holds less
 * than 64 MiB and no temporary file was asked for. Throws `ReadError`, file system errors, and the signal's reason.
 */
export async function measureDrive(options: DriveOptions): Promise<DriveSpeed | null> {
  const { dir, signal } = options;
  signal?.throwIfAborted();
  const chunks = chunksOf(await largeFiles(dir));
  if (chunks.length * CHUNK >= LEAST_BYTES) return measureChunks(dir, chunks, options);
  if (options.writeTemporary !== true) return null;
  const folder = await mkdtemp(join(dir, '.airllm-measure-'));
  try {
    const file = await writeTemporary(join(folder, 'data'), signal);
    return await measureChunks(dir, chunksOf([file]), options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureChunks(dir: string, chunks: readonly Extent[], options: DriveOptions): Promise<DriveSpeed> {
  const { signal, bufferBytes = IN_FLIGHT } = options;
  const lanes = Math.max(1, Math.min(Math.floor(bufferBytes / CHUNK), IN_FLIGHT / CHUNK));
  using buffer = HostBuffer.allocate(lanes * CHUNK, { label: 'drive measurement' });
  // Where it was read before, a drive or what stands behind it may remember.
  const start = Math.floor(Math.random() * chunks.length);
  const shuffled = [...chunks.slice(start), ...chunks.slice(0, start)];
  const sample = { buffer, signal };
  const direct = await withReader('auto', async (reader) => {
    const known = (await reader.kindOf(shuffled[0]!.file)) === 'direct';
    const rate = known ? await readFor(reader, shuffled, DIRECT_MS, sample) : null;
    return { rate: rate?.bytesPerSecond ?? null, latency: await latencyOf(reader, chunks, sample) };
  });
  const buffered = await withReader('plain', async (reader) => {
    // A first time for the reader to drop from the page cache what was there.
    const { read } = await readFor(reader, shuffled, BUFFERED_MS, sample);
    return readFor(reader, read, BUFFERED_MS, sample);
  });
  return { dir, direct: direct.rate, buffered: buffered.bytesPerSecond, readSeconds: direct.latency };
}

async function withReader<T>(kind: 'auto' | 'plain', work: (reader: Reader) => Promise<T>): Promise<T> {
  const reader = await openReader({ kind, useCache: false });
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

interface Sample {
  readonly buffer: HostBuffer;
  readonly signal: AbortSignal | undefined;
}

/** Reads chunks in order, several in flight, until the time is over, there are no more, or it was enough. */
async function readFor(reader: Reader, chunks: readonly Extent[], ms: number, { buffer, signal }: Sample) {
  const begin = performance.now();
  const lanes = Math.floor(buffer.byteLength / CHUNK);
  const read: Extent[] = [];
  const ends: number[] = [];
  let next = 0;
  const lane = async (_: unknown, index: number) => {
    while (next < chunks.length && next * CHUNK < MOST_BYTES && performance.now() - begin < ms) {
      const chunk = chunks[next++]!;
      await reader.read(chunk, buffer, index * CHUNK, { signal });
      read.push(chunk);
      ends.push(performance.now() - begin);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { read, bytesPerSecond: steadyRate(ends, lanes) };
}

/**
 * Bytes per second: the slope of the line through what had come when, by least squares, since requests come in groups.
 * From when as many had come as are in flight: what a drive or a limit on it gives in a burst is over then. Where few
 * were read, all of them by the time it took.
 */
export function steadyRate(ends: readonly number[], inFlight: number): number {
  const settled = ends.slice(inFlight - 1);
  if (settled.length < 2 * inFlight) return (1000 * CHUNK * ends.length) / ends.at(-1)!;
  const meanTime = settled.reduce((sum, end) => sum + end, 0) / settled.length;
  const meanCount = (settled.length - 1) / 2;
  let covariance = 0;
  let variance = 0;
  settled.forEach((end, i) => {
    covariance += (end - meanTime) * (i - meanCount);
    variance += (end - meanTime) ** 2;
  });
  return (1000 * CHUNK * covariance) / variance;
}

/** The median of small reads at scattered places. */
async function latencyOf(reader: Reader, chunks: readonly Extent[], { buffer, signal }: Sample): Promise<number> {
  const begin = performance.now();
  const times: number[] = [];
  while (times.length < LATENCY_READS && (times.length === 0 || performance.now() - begin < LATENCY_MS)) {
    const { file, offset } = chunks[Math.floor(Math.random() * chunks.length)]!;
    const at = offset + 4096 * Math.floor(Math.random() * (CHUNK / 4096));
    const start = performance.now();
    await reader.read({ file, offset: at, length: 4096 }, buffer, 0, { signal });
    times.push((performance.now() - start) / 1000);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
}

/** Files of a folder that hold a chunk, largest first. */
async function largeFiles(dir: string): Promise<SizedFile[]> {
  const entries = await readdir(dir, { withFileTypes: true });
  const files = await Promise.all(
    entries
      // Files of the Hugging Face cache are links.
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map(async ({ name }) => {
        const path = join(dir, name);
        const stats = await stat(path).catch(() => undefined);
        return { path, size: stats?.isFile() ? stats.size : 0 };
      }),
  );
  return files.filter(({ size }) => size >= CHUNK).sort((a, b) => b.size - a.size);
}

function chunksOf(files: readonly SizedFile[]): Extent[] {
  return files.flatMap(({ path, size }) =>
    Array.from({ length: Math.floor(size / CHUNK) }, (_, i) => ({ file: path, offset: i * CHUNK, length: CHUNK })),
  );
}

async function writeTemporary(path: string, signal: AbortSignal | undefined): Promise<SizedFile> {
  const file = await open(path, 'wx');
  try {
    // Nothing that a drive could compress.
    const chunk = randomBytes(CHUNK);
    for (let at = 0; at < TEMPORARY_BYTES; at += CHUNK) {
      signal?.throwIfAborted();
      await file.write(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { path, size: TEMPORARY_BYTES };
}
