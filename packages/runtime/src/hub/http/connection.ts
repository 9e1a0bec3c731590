import type { OutgoingHttpHeaders } from 'node:http';
import type { OnReadOpts, Socket } from 'node:net';
import { ConnectionError } from './connection-error';
import { Exchange } from './exchange';

/** For heads, and for what comes with them; bodies are read to where they are wanted. */
const SCRATCH_BYTES = 2 ** 16;
/** A server that closes idle connections does so later than this: a request must not meet that. */
const IDLE_MS = 3_000;

export interface ConnectionOptions {
  /** One that brings nothing for so long while it should is given up. */
  readonly stallTimeoutMs: number;
  /** It is free for another exchange. */
  readonly onIdle: (connection: Connection) => void;
  readonly onClosed: (connection: Connection) => void;
}

/** A socket and the one exchange on it, if any. */
export class Connection {
  /** For `connect`: tells the socket where to read to. */
  readonly onread: OnReadOpts;
  readonly #options: ConnectionOptions;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #socket: Socket | undefined;
  #exchange: Exchange | undefined;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.onread = {
      // Asked for anew before each read.
      buffer: () => this.#exchange?.room() ?? this.#scratch,
      callback: (length, bytes) => {
        this.#received(bytes.subarray(0, length));
        return true;
      },
    };
  }

  /** Takes the socket over, connected by now. */
  attach(socket: Socket): void {
    this.#socket = socket;
    // Only those that could not be given `onread` tell of data.
    socket.on('data', (bytes: Buffer) => this.#received(bytes));
    socket.on('timeout', () => {
      if (this.#exchange) this.#exchange.fail(new ConnectionError('the connection stalled'));
      else this.destroy();
    });
    socket.on('error', (error) => this.#ended(() => this.#exchange?.fail(error)));
    socket.on('end', () => this.#ended(() => this.#exchange?.closed()));
    socket.on('close', () => this.#ended(() => this.#exchange?.closed()));
  }

  /** Sends a request; one at a time. `exchange.answer` is the head that comes back. */
  exchange(url: URL, method: string, headers: OutgoingHttpHeaders, signal: AbortSignal | undefined): Exchange {
    const socket = this.#socket as Socket;
    const onAbort = () => exchange.fail(signal?.reason);
    const stopped = () => {
      signal?.removeEventListener('abort', onAbort);
      if (this.#exchange === exchange) this.#exchange = undefined;
    };
    const { stallTimeoutMs } = this.#options;
    const exchange: Exchange = new Exchange(url, method, headers, {
      write: (bytes, done) => socket.write(bytes, done),
      pause: () => {
        // Who does not read cannot tell a connection that stalls.
        socket.setTimeout(0);
        socket.pause();
      },
      resume: () => {
        socket.setTimeout(stallTimeoutMs);
        socket.resume();
      },
      end: (reusable) => {
        stopped();
        if (reusable && !this.#closed) this.#rest(socket);
        else this.destroy();
      },
      destroy: () => {
        stopped();
        this.destroy();
      },
    });
    this.#exchange = exchange;
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.ref();
    socket.setTimeout(stallTimeoutMs);
    socket.resume();
    return exchange;
  }

  destroy(): void {
    this.#ended(() => this.#exchange?.fail(new ConnectionError('the connection was closed')));
    this.#socket?.destroy();
  }

  #received(bytes: Uint8Array): void {
    if (this.#exchange) this.#exchange.received(bytes);
    // Nothing was asked.
    else this.destroy();
  }

  #rest(socket: Socket): void {
    socket.setTimeout(IDLE_MS);
    // To hear of its end.
    socket.resume();
    socket.unref();
    this.#options.onIdle(this);
  }

  #ended(tell: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    tell();
    this.#options.onClosed(this);
  }
}
