import { setMaxListeners } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { CacheLayout } from '../cache/cache-layout';
import { type ByteRange, RangeSet } from '../range-set';
import type { HubClient } from '../repo/client';
import type { HubFile, HubFileAddress } from '../types';
import { BlobHasher } from './blob-hasher';
import type { DownloadContext } from './download-context';
import type { DownloadState, Journal } from './journal';
import { PartFetcher } from './part-fetcher';
import { RangeWriter } from './range-writer';
import type { Slab } from './slabs';

/** A checkpoint makes what was written outlive a power failure. It costs more than the writing did, so they are rare. */
const CHECKPOINT_MS = 10_000;

export interface BlobDownloadOptions {
  readonly client: HubClient;
  readonly layout: CacheLayout;
  readonly address: HubFileAddress;
  readonly file: HubFile;
  readonly context: DownloadContext;
  /** Ranges in the order in which somebody reads the file while it comes. */
  readonly wanted?: readonly ByteRange[] | undefined;
  /** Files of a smaller rank get connections first. */
  readonly rank: number;
  readonly signal: AbortSignal;
  /** Bytes that were there already, told once before any other. */
  readonly onResumed: (ranges: readonly ByteRange[], path: string) => void;
  readonly onWritten: (from: number, to: number) => void;
  readonly onReceived: (bytes: number) => void;
}

/** The bytes of one blob on their way into its file, the hash, and the journal. */
export class BlobDownload {
  readonly #options: BlobDownloadOptions;
  readonly #handle: FileHandle;
  readonly #journal: Journal;
  readonly #ranges: RangeSet;
  readonly #hasher: BlobHasher;
  readonly #fetcher: PartFetcher;
  /** Ends all connections of this file: when one fails for good, or the caller gives up. */
  readonly #abort = new AbortController();
  readonly #signal = this.#abort.signal;
  readonly #onAbort = () => this.#abort.abort(this.#options.signal.reason);
  #lastCheckpoint = performance.now();
  #checkpoint: Promise<void> | undefined;
  #closed = false;

  constructor(
    options: BlobDownloadOptions,
    path: string,
    handle: FileHandle,
    journal: Journal,
    { ranges, hashed, hashState }: DownloadState,
  ) {
    this.#options = options;
    this.#handle = handle;
    this.#journal = journal;
    const { file, context } = options;
    this.#ranges = new RangeSet(ranges);
    setMaxListeners(0, this.#signal);
    options.signal.addEventListener('abort', this.#onAbort);
    if (options.signal.aborted) this.#onAbort();
    this.#fetcher = new PartFetcher({
      ...options,
      signal: this.#signal,
      gaps: () => this.#ranges.gaps(file.size),
      writer: (range, onWritten) => this.#writer(range, onWritten),
    });
    this.#hasher = new BlobHasher({
      handle,
      file: path,
      size: file.size,
      etag: file.etag,
      ranges: this.#ranges,
      budget: context.held,
      hashes: context.hashes,
      resume: { hashed, state: hashState },
      onHashed: (to, state) => state && journal.hashed(to, state),
      signal: this.#signal,
    });
    options.onResumed(this.#ranges.ranges, path);
  }

  get bytesDone(): number {
    return this.#ranges.size;
  }

  get algorithm() {
    return this.#hasher.algorithm;
  }

  /** The digest of the whole file, all of it written. */
  async run(): Promise<string> {
    const fail = (error: unknown) => {
      this.#abort.abort(error);
      this.#hasher.stop();
      throw error;
    };
    const hashing = this.#hasher.run().catch(fail);
    const fetching = this.#fetcher.run().map((loop) => loop.catch(fail));
    const results = await Promise.allSettled([...fetching, hashing]);
    await this.#checkpoint?.catch(fail);
    this.#signal.throwIfAborted();
    return (results.at(-1) as PromiseFulfilledResult<string>).value;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#hasher.drop();
    await this.#handle.close();
  }

  #writer(range: ByteRange, onWritten: (bytes: number) => void): RangeWriter {
    const { context, onReceived } = this.#options;
    return new RangeWriter({
      ...context,
      handle: this.#handle,
      range,
      behind: () => this.#hasher.behind(),
      onReceived: (bytes) => {
        context.slots.received(bytes);
        onReceived(bytes);
      },
      onWritten: (from, to, slab) => {
        onWritten(to - from);
        this.#onWritten(from, to, slab);
      },
    });
  }

  #onWritten(from: number, to: number, slab: Slab): void {
    this.#ranges.add(from, to);
    this.#journal.written(from, to - from);
    this.#hasher.offer(from, to, slab);
    this.#options.onWritten(from, to);
    if (this.#checkpoint || performance.now() - this.#lastCheckpoint < CHECKPOINT_MS) return;
    this.#lastCheckpoint = performance.now();
    this.#checkpoint = this.#takeCheckpoint().finally(() => {
      this.#checkpoint = undefined;
    });
    // Seen by run(), which waits for the last one; a drive that fails will fail the next write, too.
    this.#checkpoint.catch((error) => this.#abort.abort(error));
  }

  async #takeCheckpoint(): Promise<void> {
    const state: DownloadState = {
      ranges: [...this.#ranges.ranges],
      hashed: this.#hasher.hashed,
      hashState: this.#hasher.state,
    };
    this.#journal.beginCheckpoint();
    await this.#options.context.writes.run(() => this.#handle.datasync());
    await this.#journal.checkpoint(state);
  }
}
