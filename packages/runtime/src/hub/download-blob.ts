import { setMaxListeners } from 'node:events';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { BlobHasher } from './blob-hasher';
import type { CacheLayout } from './cache-layout';
import type { HubClient } from './client';
import type { DownloadContext } from './download-context';
import { shownUrl } from './errors';
import { writeFailure } from './files';
import { type DownloadState, Journal } from './journal';
import { type ByteRange, RangeSet } from './range-set';
import { RangeWriter } from './range-writer';
import { RemoteFile } from './remote-file';
import { Passing } from './retry';
import type { Slab } from './slabs';
import type { HubResponse } from './transport';
import type { HubFile, HubFileAddress } from './types';

/** A checkpoint makes what was written outlive a power failure. It costs more than the writing did, so they are rare. */
const CHECKPOINT_MS = 10_000;

export interface BlobDownloadOptions {
  readonly client: HubClient;
  readonly layout: CacheLayout;
  readonly address: HubFileAddress;
  readonly file: HubFile;
  readonly context: DownloadContext;
  /** Files of a smaller rank get connections first. */
  readonly rank: number;
  readonly signal: AbortSignal;
  /** Bytes that were there already, told once before any other. */
  readonly onResumed: (ranges: readonly ByteRange[], path: string) => void;
  readonly onWritten: (from: number, to: number) => void;
  readonly onReceived: (bytes: number) => void;
}

/** The bytes arrived, and are not those that the Hub promised. Never seen outside. */
export class WrongBytes extends Error {
  constructor(
    readonly algorithm: 'sha256' | 'git-sha1',
    readonly found: string,
  ) {
    super(`${algorithm} ${found}`);
  }
}

/**
 * Downloads one blob by ranges on several connections, going on where an earlier process stopped. It is hashed while it
 * arrives, and gets its name only when the hash is right. The caller holds the blob's lock.
 * Throws `WrongBytes` (nothing is kept then), `Changed`, `NoSpaceError`, `WriteError`, and `HubError`s.
 */
export async function downloadBlob(options: BlobDownloadOptions): Promise<void> {
  const { layout, file } = options;
  const path = layout.incomplete(file.etag);
  const { journal, state } = await Journal.open(layout.journal(file.etag), file.etag, file.size);
  let download: BlobDownload | undefined;
  try {
    const { handle, kept } = await openIncomplete(path, file.size);
    const known = kept ? state : { ranges: [], hashed: 0, hashState: undefined };
    if (!kept) await journal.checkpoint(known);
    download = new BlobDownload(options, path, handle, journal, known);
    const digest = await download.run();
    if (digest !== file.etag) {
      await download.close();
      await Promise.all([rm(path, { force: true }), journal.remove()]);
      throw new WrongBytes(download.algorithm, digest);
    }
    await download.close();
    // The journal stays until the drive has the bytes: see settle.ts.
    await journal.close();
    await rename(path, layout.blob(file.etag));
  } catch (error) {
    throw await writeFailure(error, path, file.size - (download?.bytesDone ?? 0));
  } finally {
    await download?.close();
    await journal.close().catch(() => {});
  }
}

/** The file so far; of the whole length from the start, so that readers may look at any part that has come. */
async function openIncomplete(path: string, size: number): Promise<{ handle: FileHandle; kept: boolean }> {
  const existing = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (existing && (await existing.stat()).size === size) return { handle: existing, kept: true };
  const handle = existing ?? (await open(path, 'w+', 0o664));
  await handle.truncate(size);
  return { handle, kept: false };
}

class BlobDownload {
  readonly #options: BlobDownloadOptions;
  readonly #handle: FileHandle;
  readonly #journal: Journal;
  readonly #ranges: RangeSet;
  readonly #hasher: BlobHasher;
  readonly #remote: RemoteFile;
  readonly #parts: ByteRange[];
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
    const { file, client, address, context } = options;
    this.#ranges = new RangeSet(ranges);
    setMaxListeners(0, this.#signal);
    options.signal.addEventListener('abort', this.#onAbort);
    if (options.signal.aborted) this.#onAbort();
    this.#remote = new RemoteFile(client, address, file);
    this.#parts = this.#ranges.gaps(file.size).flatMap((gap) => split(gap, context.partBytes));
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
    const { context } = this.#options;
    const fail = (error: unknown) => {
      this.#abort.abort(error);
      this.#hasher.stop();
      throw error;
    };
    const hashing = this.#hasher.run().catch(fail);
    const loops = Array.from({ length: Math.min(context.connections, this.#parts.length) }, () =>
      this.#fetchParts().catch(fail),
    );
    const results = await Promise.allSettled([...loops, hashing]);
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

  /** One connection's work: the next part that nobody has, until there is none. */
  async #fetchParts(): Promise<void> {
    const { context, client, rank } = this.#options;
    const patience = client.patience(this.#signal);
    for (let part = this.#parts.shift(); part !== undefined; part = this.#parts.shift()) {
      let { from } = part;
      while (from < part.to) {
        const range = { from, to: part.to };
        try {
          await context.slots.run(
            () =>
              this.#fetch(range, (bytes) => {
                from += bytes;
                patience.progressed();
              }),
            rank,
            this.#signal,
          );
        } catch (error) {
          if (!this.#remote.hasRanges) return await this.#fetchWhole();
          await patience.failed(error, this.#remote.url);
        }
      }
    }
  }

  /** Reads a range to its end. Throws after what has come is written and told to `onBytes`. */
  async #fetch(range: ByteRange, onBytes: (bytes: number) => void): Promise<void> {
    const { response, from } = await this.#remote.open(range, this.#signal);
    // From a server without ranges only what starts where it is wanted can be used.
    if (from !== range.from || !this.#remote.hasRanges) {
      discard(response);
      throw new Passing({ url: shownUrl(response.url), reason: 'the server knows no ranges' });
    }
    await this.#receive(response, 0, range, onBytes);
  }

  /** For a server without ranges: one connection for all that is missing, one loop only; what is there is skipped. */
  async #fetchWhole(): Promise<void> {
    if (this.#fetchingWhole) return await this.#fetchingWhole;
    const { context, client, file, rank } = this.#options;
    const fetchWhole = async () => {
      this.#parts.length = 0;
      const patience = client.patience(this.#signal);
      for (;;) {
        const [gap] = this.#ranges.gaps(file.size);
        if (gap === undefined) return;
        try {
          await context.slots.run(
            async () => {
              const { response, from } = await this.#remote.open({ from: gap.from, to: file.size }, this.#signal);
              const rest = { from: gap.from, to: file.size };
              await this.#receive(response, gap.from - from, rest, () => patience.progressed());
            },
            rank,
            this.#signal,
          );
        } catch (error) {
          await patience.failed(error, this.#remote.url);
        }
      }
    };
    this.#fetchingWhole = fetchWhole();
    await this.#fetchingWhole;
  }

  #fetchingWhole: Promise<void> | undefined;

  async #receive(
    response: HubResponse,
    skip: number,
    range: ByteRange,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const { context, onReceived } = this.#options;
    const writer = new RangeWriter({
      handle: this.#handle,
      from: range.from,
      slabs: context.slabs,
      pace: context.pace,
      writes: context.writes,
      onWritten: (at, to, slab) => {
        onBytes(to - at);
        this.#onWritten(at, to, slab);
      },
    });
    try {
      await receive(response, skip, range.to - range.from, writer, onReceived);
    } finally {
      await writer.finish();
    }
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

function split({ from, to }: ByteRange, bytes: number): ByteRange[] {
  const parts: ByteRange[] = [];
  // At multiples, so that parts of an interrupted download stay whole ones.
  for (let at = from; at < to; at = parts.at(-1)?.to as number) {
    parts.push({ from: at, to: Math.min(to, (Math.floor(at / bytes) + 1) * bytes) });
  }
  return parts;
}

/** Hands the body to the writer, without its first `skip` bytes; throws unless `length` more came and no other. */
function receive(
  { body, url }: HubResponse,
  skip: number,
  length: number,
  writer: RangeWriter,
  onReceived: (bytes: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let toSkip = skip;
    let left = length;
    const fail = (error: unknown) => {
      body.destroy();
      reject(error);
    };
    const cut = (reason: string) => new Passing({ url: shownUrl(url), reason });
    body.on('data', (chunk: Buffer) => {
      onReceived(chunk.length);
      const skipped = Math.min(toSkip, chunk.length);
      toSkip -= skipped;
      const bytes = chunk.subarray(skipped);
      if (bytes.length > left) return fail(cut(`more than ${length} bytes came`));
      left -= bytes.length;
      if (bytes.length === 0) return;
      try {
        if (writer.push(bytes)) return;
        body.pause();
        writer.onDrain(() => body.resume());
      } catch (error) {
        fail(error);
      }
    });
    body.on('end', () => (left === 0 ? resolve() : fail(cut(`the body ended ${left} bytes early`))));
    body.on('error', fail);
    body.on('close', () => fail(cut('the connection was cut')));
  });
}

function discard({ body }: HubResponse): void {
  body.on('error', () => {});
  body.destroy();
}
