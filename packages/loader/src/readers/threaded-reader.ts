import { DisposedError, OptionError, ReadError } from '../errors';
import { alignDown, alignUp, BLOCK, type Extent } from '../extent';
import type { HostBuffer } from '../host-buffer';
import {
  type MappedFile,
  type Reader,
  type ReaderKind,
  type ReaderStats,
  type ReadOptions,
  readAlignment,
} from '../reader';
import { AbortWatch } from './abort-watch';
import { DriveThreads } from './drive-threads';
import { FileMappings } from './mapped-file';
import { type OpenFile, OpenFiles } from './open-files';
import { absentShare } from './page-cache';
import type { Failure, OpenRequest, ReadReply, Request, Target } from './protocol';
import type { Job, Outcome } from './reader-threads';

export interface ThreadedReaderOptions {
  readonly kind: ReaderKind;
  readonly mode: OpenRequest['mode'];
  readonly threads: number;
  readonly requestBytes: number;
  readonly dropCache: boolean;
  readonly useCache: boolean;
}

/** Share of an extent that may be missing in the page cache: it is read while others are computed with. */
const MOST_ABSENT = 1 / 16;

/** One piece of a read, as long as one request. */
interface Piece {
  /** Of the piece within the file. */
  readonly offset: number;
  readonly length: number;
  readonly needed: number;
  /** Of the piece within the buffer. */
  readonly at: number;
}

/** The three kinds differ only in what the threads do with a piece, and in the alignment of pieces. */
export class ThreadedReader implements Reader {
  readonly kind: ReaderKind;
  readonly alignment: number;
  readonly #options: ThreadedReaderOptions;
  readonly #threads: DriveThreads;
  readonly #files: OpenFiles;
  readonly #mappings = new FileMappings();
  readonly #aborts = new AbortWatch((job) => this.#threads.cancel(job));
  readonly #reads = new Set<Promise<unknown>>();
  #bytesRead = 0;
  #bytesCached = 0;
  #requests = 0;
  #closed: Promise<void> | undefined;

  constructor(options: ThreadedReaderOptions) {
    this.kind = options.kind;
    this.alignment = readAlignment(options.kind);
    this.#options = options;
    this.#threads = new DriveThreads(options.threads);
    this.#files = new OpenFiles(this.#threads, options);
  }

  warmUp(): void {
    this.#threads.warmUp();
  }

  get stats(): ReaderStats {
    return {
      bytesRead: this.#bytesRead,
      bytesCached: this.#bytesCached,
      requests: this.#requests,
      busyMs: this.#threads.busyMs,
    };
  }

  span(extent: Extent): number {
    if (this.kind !== 'direct' || extent.length === 0) return extent.length;
    return alignUp(extent.offset + extent.length, BLOCK) - alignDown(extent.offset, BLOCK);
  }

  async read(extent: Extent, into: HostBuffer, at: number, options: ReadOptions = {}): Promise<number> {
    this.#check(extent, into, at);
    options.signal?.throwIfAborted();
    if (extent.length === 0) return at;
    const lease = into.lease();
    const read = this.#read(extent, into, at, options.signal).finally(() => lease.release());
    this.#reads.add(read);
    try {
      return await read;
    } finally {
      this.#reads.delete(read);
    }
  }

  async mapCached(extent: Extent): Promise<MappedFile | null> {
    if (this.#closed !== undefined) throw new DisposedError('reader');
    return this.#files.with(extent.file, async ({ path, cache, size }) => {
      const { offset, length } = extent;
      if (cache === undefined || offset + length > size) return null;
      const absent = absentShare(cache, offset, length);
      if (absent > MOST_ABSENT) return null;
      const mapping = this.#mappings.of(path);
      if (absent > 0) mapping?.fetch(extent);
      return mapping;
    });
  }

  async kindOf(file: string): Promise<ReaderKind> {
    if (this.#closed !== undefined) throw new DisposedError('reader');
    if (this.kind !== 'direct') return this.kind;
    return this.#files.with(file, async ({ direct }) => (direct ? 'direct' : 'plain'));
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#threads.cancelAll();
    await Promise.allSettled([...this.#reads]);
    this.#mappings.dispose();
    await this.#files.close();
    await this.#threads.close();
  }

  #check(extent: Extent, into: HostBuffer, at: number): void {
    if (this.#closed !== undefined) throw new DisposedError('reader');
    for (const [option, value] of [
      ['extent.offset', extent.offset],
      ['extent.length', extent.length],
      ['at', at],
    ] as const) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new OptionError({ option, expected: 'a whole number of at least 0', found: value });
      }
    }
    if (this.kind === 'direct' && at % BLOCK !== 0) {
      throw new OptionError({ option: 'at', expected: `a multiple of ${BLOCK} for direct I/O`, found: at });
    }
    const room = into.byteLength - at;
    const span = this.span(extent);
    if (span > room) {
      throw new OptionError({ option: 'into', expected: `room for ${span} bytes from offset ${at} on`, found: room });
    }
  }

  async #read(extent: Extent, into: HostBuffer, at: number, signal: AbortSignal | undefined): Promise<number> {
    const job: Job = { cancelled: false };
    const unwatch = signal && this.#aborts.watch(signal, job);
    try {
      const first = await this.#files.with(extent.file, (file) => this.#readFrom(file, extent, into, at, job));
      if (first === 'refused') {
        signal?.throwIfAborted();
        await this.#files.degrade(extent.file);
        await this.#files.with(extent.file, (file) => this.#readFrom(file, extent, into, at, job));
      }
      signal?.throwIfAborted();
      return this.kind === 'direct' ? at + (extent.offset % BLOCK) : at;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      unwatch?.();
    }
  }

  /** `refused`: the drive that took direct I/O for the probe does not for these bytes. */
  async #readFrom(file: OpenFile, extent: Extent, into: HostBuffer, at: number, job: Job): Promise<'done' | 'refused'> {
    if (extent.offset + extent.length > file.size) {
      const found = Math.max(0, Math.min(extent.length, file.size - extent.offset));
      throw new ReadError({ file: file.path, offset: extent.offset, expected: extent.length, found });
    }
    const direct = file.direct && into.native;
    const answers = this.#pieces(extent, at, direct).map(async (piece) => {
      if (job.cancelled) return undefined;
      const request = this.#request(file, piece, targetAt(into, piece.at), direct);
      const outcome = await this.#threads.submit(request, job, file.device);
      this.#account(outcome);
      // One failed piece fails the read: the others need not begin.
      if (outcome?.failure !== undefined) this.#threads.cancel(job);
      return outcome?.failure === undefined ? outcome : { ...outcome, piece };
    });
    // All of them, also after a failure: until then a thread may still write into the buffer.
    const outcomes = await Promise.all(answers);
    return this.#conclude(file, direct, job, outcomes);
  }

  #conclude(
    file: OpenFile,
    direct: boolean,
    job: Job,
    outcomes: readonly ((Outcome & { piece?: Piece }) | undefined)[],
  ): 'done' | 'refused' {
    const failed = outcomes.find((outcome) => outcome?.failure !== undefined);
    if (failed?.failure !== undefined && failed.piece !== undefined) {
      if (direct && this.#options.mode === 'direct-or-plain' && failed.failure.errno === 'EINVAL') {
        job.cancelled = false;
        return 'refused';
      }
      throw readError(file, failed.piece, failed.failure);
    }
    if (outcomes.includes(undefined)) throw new DisposedError('reader');
    return 'done';
  }

  #account(outcome: Outcome | undefined): void {
    if (outcome === undefined) return;
    this.#requests++;
    if (outcome.failure !== undefined) return;
    const { bytes, cached } = outcome.value as ReadReply;
    this.#bytesRead += bytes;
    if (cached) this.#bytesCached += bytes;
  }

  #pieces(extent: Extent, at: number, direct: boolean): Piece[] {
    const end = extent.offset + extent.length;
    const start = direct ? alignDown(extent.offset, BLOCK) : extent.offset;
    const stop = direct ? alignUp(end, BLOCK) : end;
    const base = this.kind === 'direct' && !direct ? at + (extent.offset % BLOCK) : at;
    const pieces: Piece[] = [];
    for (let offset = start; offset < stop; offset += this.#options.requestBytes) {
      const length = Math.min(this.#options.requestBytes, stop - offset);
      // The rest of the last block need not exist.
      const needed = Math.min(length, end - offset);
      pieces.push({ offset, length, needed, at: base + (offset - start) });
    }
    return pieces;
  }

  #request(file: OpenFile, piece: Piece, target: Target, direct: boolean): Request {
    const { fd, mapping, cache } = file;
    const { offset, length, needed } = piece;
    if (mapping !== undefined) return { op: 'copy', fd, mapping, offset, length, needed, target };
    const dropCache = !direct && this.#options.dropCache;
    return { op: 'read', fd, direct, offset, length, needed, target, dropCache, cache };
  }
}

function targetAt(into: HostBuffer, at: number): Target {
  const { shared } = into;
  // The lease keeps the memory; a dispose() meanwhile only forbids new uses.
  return shared === undefined
    ? { address: into.leasedAddress + BigInt(at) }
    : { buffer: shared.buffer, start: shared.start + at };
}

function readError(file: OpenFile, piece: Piece, failure: Failure): ReadError {
  return new ReadError({
    file: file.path,
    offset: piece.offset,
    expected: piece.needed,
    found: failure.found,
    errno: failure.errno,
    reason: failure.errno === undefined && failure.message !== 'the file ends' ? failure.message : undefined,
  });
}
