import { shownUrl } from '../errors';
import type { ByteSink } from '../http/exchange';
import { Passing, type Patience } from '../http/retry';
import type { HubResponse } from '../http/transport';
import type { ByteRange } from '../range-set';
import type { HubClient } from '../repo/client';
import type { HubFile, HubFileAddress } from '../types';
import type { DownloadContext } from './download-context';
import { partOrder } from './part-order';
import type { RangeWriter } from './range-writer';
import { RemoteFile } from './remote-file';

export interface PartFetcherOptions {
  readonly client: HubClient;
  readonly address: HubFileAddress;
  readonly file: HubFile;
  readonly context: DownloadContext;
  readonly rank: number;
  readonly signal: AbortSignal;
  readonly onReceived: (bytes: number) => void;
  /** What is missing now; asked when nothing is under way. */
  readonly gaps: () => readonly ByteRange[];
  /** Ranges in the order in which somebody reads the file. */
  readonly wanted?: readonly ByteRange[] | undefined;
  /** `onWritten` is told of bytes of the range that are written. */
  readonly writer: (range: ByteRange, onWritten: (bytes: number) => void) => RangeWriter;
}

/** Brings what is missing of a file, by ranges on several connections. */
export class PartFetcher {
  readonly #options: PartFetcherOptions;
  readonly #remote: RemoteFile;
  readonly #parts: ByteRange[];
  #whole: Promise<void> | undefined;

  constructor(options: PartFetcherOptions) {
    this.#options = options;
    const { client, address, file, context, gaps, wanted = [] } = options;
    this.#remote = new RemoteFile(client, address, file);
    const parts = gaps().flatMap((gap) => split(gap, context.partBytes));
    this.#parts = partOrder(parts, wanted);
  }

  /** One connection's work each. */
  run(): Promise<void>[] {
    const loops = Math.min(this.#options.context.connections, this.#parts.length);
    return Array.from({ length: loops }, () => this.#fetchParts());
  }

  /** The next part that nobody has, until there is none. */
  async #fetchParts(): Promise<void> {
    const { client, signal, file } = this.#options;
    const patience = client.patience(signal, { file: file.path });
    for (let part = this.#parts.shift(); part !== undefined; part = this.#parts.shift()) {
      let { from } = part;
      while (from < part.to) {
        const range = { from, to: part.to };
        try {
          await this.#inTurn(() =>
            this.#fetch(range, (bytes) => {
              from += bytes;
              patience.progressed();
            }),
          );
        } catch (error) {
          if (!this.#remote.hasRanges) {
            this.#whole ??= this.#fetchWhole(client.patience(signal, { file: file.path }));
            return await this.#whole;
          }
          await patience.failed(error, this.#remote.url);
        }
      }
    }
  }

  /** For a server without ranges: one connection for all that is missing; what is there is skipped. */
  async #fetchWhole(patience: Patience): Promise<void> {
    const { file, gaps } = this.#options;
    this.#parts.length = 0;
    for (let [gap] = gaps(); gap !== undefined; [gap] = gaps()) {
      const rest = { from: gap.from, to: file.size };
      try {
        await this.#inTurn(async () => {
          const { response, from } = await this.#remote.open(rest, this.#options.signal);
          await this.#receive(response, rest.from - from, rest, () => patience.progressed());
        });
      } catch (error) {
        await patience.failed(error, this.#remote.url);
      }
    }
  }

  /** Reads a range to its end. Throws after what has come is written and told to `onWritten`. */
  async #fetch(range: ByteRange, onWritten: (bytes: number) => void): Promise<void> {
    const { response, from } = await this.#remote.open(range, this.#options.signal);
    // From a server without ranges only what starts where it is wanted can be used.
    if (from !== range.from || !this.#remote.hasRanges) {
      response.body.destroy();
      throw new Passing({ url: shownUrl(response.url), reason: 'the server knows no ranges' });
    }
    await this.#receive(response, 0, range, onWritten);
  }

  /** Writes the body without its first `skip` bytes; throws unless all of the range came and no more. */
  async #receive({ body, url }: HubResponse, skip: number, range: ByteRange, onWritten: (bytes: number) => void) {
    const writer = this.#options.writer(range, onWritten);
    try {
      await body.receive(skip > 0 ? skipping(skip, writer, this.#options.onReceived) : writer);
      if (writer.missing > 0) {
        throw new Passing({ url: shownUrl(url), reason: `the body ended ${writer.missing} bytes early` });
      }
    } finally {
      await writer.finish();
    }
  }

  #inTurn(task: () => Promise<void>): Promise<void> {
    const { context, rank, signal } = this.#options;
    return context.slots.run(task, rank, signal);
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

const TRASH_BYTES = 2 ** 18;

/** Hands on what follows the first bytes. */
function skipping(bytes: number, sink: ByteSink, onSkipped: (bytes: number) => void): ByteSink {
  const trash = new Uint8Array(TRASH_BYTES);
  let left = bytes;
  return {
    room: () => (left > 0 ? trash.subarray(0, left) : sink.room()),
    filled(count) {
      if (left === 0) return sink.filled(count);
      left -= count;
      onSkipped(count);
      return undefined;
    },
  };
}
