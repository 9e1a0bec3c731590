import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DisposedError, OptionError, ReadError, WriteError } from '../errors';
import { alignUp, BLOCK } from '../extent';
import { makeFolder } from '../files/make-folder';
import type { HostBuffer } from '../host-buffer';
import { isProcessAlive } from '../process-alive';
import type { CreateReply, Failure, ReadReply, Request, Target, WriteReply } from '../readers/protocol';
import { ReaderThreads } from '../readers/reader-threads';
import { writeFailure } from '../system-errors';

/** What {@link ScratchFile.create} takes beside the folder. */
export interface ScratchFileOptions {
  /** What the file is for: its name begins with it. */
  readonly label: string;
  /** Threads that read and write it, and so requests in flight. @defaultValue 2 */
  readonly threads?: number | undefined;
  /** Most bytes of one request. @defaultValue 16 MiB */
  readonly requestBytes?: number | undefined;
}

/** Some bytes of a scratch file, and where they are in memory. All three are multiples of 4096. */
export interface ScratchRun {
  readonly offset: number;
  readonly length: number;
  /** Of the first byte in the buffer. */
  readonly at: number;
}

/** Bytes moved since the file was made. */
export interface ScratchStats {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

const DEFAULT_THREADS = 2;
const DEFAULT_REQUEST_BYTES = 16 * 2 ** 20;

/**
 * A file for what does not fit into memory, past the page cache where the drive allows it, on threads of its own (never
 * libuv's). Nobody else sees it: it has no name from the start on, or where the system does not do that loses it at the
 * end; what a killed process left there goes when the next one makes its own.
 */
export class ScratchFile {
  /** For messages: where the file is, or was before it lost its name. */
  readonly path: string;
  /** Whether bytes go past the page cache. */
  readonly direct: boolean;
  readonly #fd: number;
  readonly #named: boolean;
  readonly #threads: ReaderThreads;
  readonly #requestBytes: number;
  #bytesRead = 0;
  #bytesWritten = 0;
  readonly #moves = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  private constructor(path: string, reply: CreateReply, threads: ReaderThreads, requestBytes: number) {
    this.path = path;
    this.direct = reply.direct;
    this.#fd = reply.fd;
    this.#named = reply.named;
    this.#threads = threads;
    this.#requestBytes = requestBytes;
  }

  /** Makes an empty file in a folder, and the folder where it is missing. Throws `WriteError`. */
  static async create(dir: string, options: ScratchFileOptions): Promise<ScratchFile> {
    const { label, threads: limit = DEFAULT_THREADS, requestBytes = DEFAULT_REQUEST_BYTES } = options;
    const path = join(resolve(dir), `${label}-${process.pid}-${randomBytes(6).toString('hex')}.scratch`);
    try {
      await makeFolder(dir);
    } catch (cause) {
      throw writeFailure(dir, cause);
    }
    await removeOrphans(dir, label);
    const threads = new ReaderThreads(limit);
    const outcome = await threads.submit({ op: 'create', path }, { cancelled: false });
    if (outcome === undefined || outcome.failure !== undefined) {
      await threads.close();
      throw failedWrite(path, outcome?.failure);
    }
    return new ScratchFile(path, outcome.value as CreateReply, threads, alignUp(requestBytes, BLOCK));
  }

  get stats(): ScratchStats {
    return { bytesRead: this.#bytesRead, bytesWritten: this.#bytesWritten };
  }

  /**
   * Writes bytes of a buffer, which is leased meanwhile, and resolves to the CRC-32 of every `checksumBytes` of them (a
   * multiple of 4096 that divides the run). Throws `WriteError` (`errno` is `ENOSPC` on a full drive), `OptionError`,
   * `DisposedError`.
   */
  write(run: ScratchRun, from: HostBuffer, checksumBytes: number): Promise<Uint32Array> {
    return this.#move(run, from, checksumBytes, {
      request: ({ offset, length }, source) => {
        return { op: 'write', fd: this.#fd, direct: this.direct && from.native, offset, length, source, checksumBytes };
      },
      done: (length) => {
        this.#bytesWritten += length;
      },
      failed: (_, failure) => failedWrite(this.path, failure),
    });
  }

  /** Reads bytes that were written, and resolves to their CRC-32s as {@link write} does. Throws `ReadError` and as it does. */
  read(run: ScratchRun, into: HostBuffer, checksumBytes: number): Promise<Uint32Array> {
    return this.#move(run, into, checksumBytes, {
      request: ({ offset, length }, target) => {
        const direct = this.direct && into.native;
        const dropCache = !direct;
        return { op: 'read', fd: this.#fd, direct, offset, length, needed: length, target, dropCache, checksumBytes };
      },
      done: (length) => {
        this.#bytesRead += length;
      },
      failed: ({ offset, length }, { errno, found, message }) => {
        const reason = errno === undefined && message !== 'the file ends' ? message : undefined;
        return new ReadError({ file: this.path, offset, expected: length, found, errno, reason });
      },
    });
  }

  /** Gives the drive back what lies from `length` on. Throws `WriteError`. */
  async truncate(length: number): Promise<void> {
    if (this.#closed !== undefined) throw new DisposedError('scratch file');
    const outcome = await this.#threads.submit({ op: 'truncate', fd: this.#fd, length }, { cancelled: false });
    if (outcome?.failure !== undefined) throw failedWrite(this.path, outcome.failure);
  }

  /** Waits for what is being read and written, and removes the file. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#threads.cancelAll();
    await Promise.allSettled([...this.#moves]);
    const request = { op: 'close', fd: this.#fd, mapping: undefined, size: 0, cache: undefined } as const;
    await this.#threads.submit(request, { cancelled: false });
    await this.#threads.close();
    if (this.#named) await rm(this.path, { force: true });
  }

  async #move(run: ScratchRun, buffer: HostBuffer, checksumBytes: number, kind: Move): Promise<Uint32Array> {
    if (this.#closed !== undefined) throw new DisposedError('scratch file');
    checkRun(run, buffer, checksumBytes);
    using _lease = buffer.lease();
    const move = this.#movePieces(run, buffer, checksumBytes, kind);
    this.#moves.add(move);
    try {
      return await move;
    } finally {
      this.#moves.delete(move);
    }
  }

  async #movePieces(run: ScratchRun, buffer: HostBuffer, checksumBytes: number, kind: Move): Promise<Uint32Array> {
    const job = { cancelled: false };
    const each = Math.max(1, Math.floor(this.#requestBytes / checksumBytes)) * checksumBytes;
    const pieces: ScratchRun[] = [];
    for (let from = 0; from < run.length; from += each) {
      pieces.push({ offset: run.offset + from, length: Math.min(each, run.length - from), at: run.at + from });
    }
    // All of them, also after a failure: until then a thread may still be at the buffer.
    const outcomes = await Promise.all(
      pieces.map(async (piece) => {
        const outcome = await this.#threads.submit(kind.request(piece, targetAt(buffer, piece.at)), job);
        if (outcome?.failure !== undefined) this.#threads.cancel(job);
        else if (outcome !== undefined) kind.done(piece.length);
        return outcome;
      }),
    );
    const failed = outcomes.findIndex((outcome) => outcome?.failure !== undefined);
    if (failed >= 0) throw kind.failed(pieces[failed]!, outcomes[failed]!.failure!);
    const checksums = new Uint32Array(run.length / checksumBytes);
    let at = 0;
    for (const outcome of outcomes) {
      if (outcome === undefined) throw new DisposedError('scratch file');
      const own = (outcome.value as ReadReply | WriteReply).checksums!;
      checksums.set(own, at);
      at += own.length;
    }
    return checksums;
  }
}

/** What reading and writing differ in. */
interface Move {
  readonly request: (piece: ScratchRun, target: Target) => Request;
  readonly done: (length: number) => void;
  readonly failed: (piece: ScratchRun, failure: Failure) => Error;
}

function checkRun({ offset, length, at }: ScratchRun, buffer: HostBuffer, checksumBytes: number): void {
  for (const [option, found] of Object.entries({ offset, length, at, checksumBytes })) {
    if (Number.isSafeInteger(found) && found >= 0 && found % BLOCK === 0) continue;
    throw new OptionError({ option, expected: `a multiple of ${BLOCK}`, found });
  }
  if (checksumBytes === 0 || length % checksumBytes !== 0) {
    throw new OptionError({ option: 'checksumBytes', expected: `a divisor of ${length}`, found: checksumBytes });
  }
  if (at + length > buffer.byteLength) {
    const expected = `room for ${length} bytes from offset ${at} on`;
    throw new OptionError({ option: 'buffer', expected, found: buffer.byteLength });
  }
}

function targetAt(buffer: HostBuffer, at: number): Target {
  const { shared } = buffer;
  return shared === undefined
    ? { address: buffer.leasedAddress + BigInt(at) }
    : { buffer: shared.buffer, start: shared.start + at };
}

function failedWrite(path: string, failure: Failure | undefined): Error {
  if (failure === undefined) return new DisposedError('scratch file');
  if (failure.errno === undefined) return new WriteError({ file: path, reason: failure.message });
  return writeFailure(path, Object.assign(new Error(failure.message), { code: failure.errno }));
}

/** Removes files of processes that are no more; those of other machines that share the folder cannot be told from them. */
async function removeOrphans(dir: string, label: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!name.startsWith(`${label}-`) || !name.endsWith('.scratch')) continue;
    const pid = Number(name.slice(label.length + 1).split('-')[0]);
    if (Number.isSafeInteger(pid) && pid > 0 && !isProcessAlive(pid)) await rm(join(dir, name), { force: true });
  }
}
