import { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { Duplex } from 'node:stream';
import { ConnectionError } from './connection-error';

/** Takes the bytes of a body: each is read from the socket to where it is wanted. */
export interface ByteSink {
  /** Memory for what comes next, at least one byte. */
  room(): Uint8Array;
  /** So many bytes lie in the room given last. With a promise no more is read until it resolves; what was read still comes. */
  filled(bytes: number): Promise<void> | undefined;
}

/** What an exchange needs of its connection. */
export interface Wire {
  write(bytes: Uint8Array | string, done: (error?: Error | null) => void): void;
  /** Until `resume` no more is read, save what has been read already. */
  pause(): void;
  resume(): void;
  /** The exchange is over, and whether another may follow. */
  end(reusable: boolean): void;
  /** Closes the connection. */
  destroy(): void;
}

/** Signed addresses are long. */
const MAX_HEAD_BYTES = 2 ** 16;

/**
 * One request and its answer. Node's parser reads the head; of the body it sees only what came with the head, unless it
 * has to be taken apart (chunks): the rest goes from the socket straight to the sink.
 */
export class Exchange {
  /** The head of the answer. */
  readonly answer: Promise<IncomingMessage>;
  readonly #wire: Wire;
  readonly #request: ClientRequest;
  readonly #tap: Duplex;
  #failAnswer!: (error: unknown) => void;
  #response: IncomingMessage | undefined;
  /** What came after the head, before anybody asked for it. */
  #early: Buffer[] = [];
  #sink: ByteSink | undefined;
  /** Of a body of known length, what is still to come. */
  #left: number | undefined;
  #room: Uint8Array | undefined;
  #finish: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** What the sink waits for. */
  #waits = 0;
  #ended = false;

  constructor(url: URL, method: string, headers: OutgoingHttpHeaders, wire: Wire) {
    this.#wire = wire;
    this.#tap = new Duplex({
      read() {},
      write: (chunk, _encoding, done) => wire.write(chunk, done),
      final: (done) => done(),
    });
    this.#request = request({
      createConnection: () => this.#tap,
      method,
      path: url.pathname + url.search,
      headers: { host: url.host, connection: 'keep-alive', ...headers },
      maxHeaderSize: MAX_HEAD_BYTES,
    });
    this.answer = new Promise((resolve, reject) => {
      this.#failAnswer = reject;
      this.#request.on('response', (response) => {
        this.#response = response;
        response.on('error', () => {});
        wire.pause();
        resolve(response);
      });
    });
    this.answer.catch(() => {});
    // A head that cannot be parsed.
    this.#request.on('error', (error) => this.fail(error));
    this.#request.end();
  }

  /** Where the next bytes of the connection should go, if that is known. */
  room(): Uint8Array | undefined {
    if (this.#ended || this.#sink === undefined || this.#left === undefined || this.#left === 0) return undefined;
    const { sink, left } = { sink: this.#sink, left: this.#left };
    this.#guarded(() => {
      this.#room = sink.room().subarray(0, left);
    });
    return this.#room;
  }

  /** Bytes from the connection, in `room` or elsewhere; they are the caller's again afterwards. */
  received(bytes: Uint8Array): void {
    if (this.#left !== undefined) this.#take(bytes);
    else if (this.#response === undefined || this.#sink !== undefined) this.#tap.push(Buffer.from(bytes));
    else this.#early.push(Buffer.from(bytes));
  }

  /** Hands the whole body over. Rejects with what ended it early. */
  receive(sink: ByteSink): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure.error);
      this.#finish = { resolve, reject };
      this.#sink = sink;
      const response = this.#response as IncomingMessage;
      const early = this.#early.splice(0);
      const length = bodyLength(response, this.#request.method);
      if (length === undefined) {
        response.on('data', (chunk: Buffer) => this.#guarded(() => this.#pour(chunk)));
        response.on('end', () => this.#end(response.complete && isKeptAlive(response)));
        for (const each of early) this.#tap.push(each);
      } else {
        this.#left = length;
        // What waits in the parser came first; nothing else of it is needed.
        for (const each of [response.read() as Buffer | null, ...early]) if (each !== null) this.#take(each);
        if (this.#left === 0) this.#end(isKeptAlive(response));
      }
      this.#resume();
    });
  }

  /** Leaves the body alone. A short one is read, so that the connection can be used again. */
  async discard(): Promise<void> {
    const response = this.#response;
    const length = response && bodyLength(response, this.#request.method);
    if (length === undefined || length > MAX_HEAD_BYTES) return this.destroy();
    const trash = new Uint8Array(Math.max(1, length));
    await this.receive({ room: () => trash, filled: () => undefined }).catch(() => {});
  }

  destroy(): void {
    this.fail(new ConnectionError('the answer was not wanted'));
  }

  /** The connection has ended by itself: the end of a body without a length, else too early. */
  closed(): void {
    const response = this.#response;
    if (!this.#ended && this.#sink && this.#left === undefined && response && !isChunked(response)) {
      this.#tap.push(null);
      return;
    }
    const missing = this.#left === undefined ? '' : `, ${this.#left} bytes early`;
    this.fail(new ConnectionError(`the connection was cut${missing}`));
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = { error };
    this.#close();
    this.#wire.destroy();
    this.#failAnswer(error);
    this.#finish?.reject(error);
  }

  #take(bytes: Uint8Array): void {
    const extra = bytes.length - (this.#left as number);
    if (extra > 0) {
      this.fail(new ConnectionError(`${extra} bytes more came than the answer has`));
      return;
    }
    const inPlace = this.#room?.buffer === bytes.buffer && this.#room.byteOffset === bytes.byteOffset;
    this.#left = (this.#left as number) - bytes.length;
    this.#guarded(() => (inPlace ? this.#filled(bytes.length) : this.#pour(bytes)));
    if (this.#left === 0) this.#end(isKeptAlive(this.#response as IncomingMessage));
  }

  /** Bytes that lie elsewhere are copied. */
  #pour(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length && !this.#ended; ) {
      const room = (this.#sink as ByteSink).room();
      const length = Math.min(room.length, bytes.length - done);
      room.set(bytes.subarray(done, done + length));
      done += length;
      this.#filled(length);
    }
  }

  #filled(bytes: number): void {
    const wait = (this.#sink as ByteSink).filled(bytes);
    if (wait === undefined || this.#ended) return;
    this.#wire.pause();
    this.#waits++;
    wait.then(
      () => {
        this.#waits--;
        this.#resume();
      },
      (error) => this.fail(error),
    );
  }

  #resume(): void {
    if (this.#waits === 0 && !this.#ended) this.#wire.resume();
  }

  /** What the sink throws ends the exchange. */
  #guarded(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.fail(error);
    }
  }

  #end(reusable: boolean): void {
    if (this.#ended) return;
    this.#close();
    this.#wire.end(reusable);
    this.#finish?.resolve();
  }

  #close(): void {
    this.#ended = true;
    this.#room = undefined;
    this.#request.destroy();
  }
}

/** Of a body that has a length and is not in chunks. */
function bodyLength({ headers, statusCode }: IncomingMessage, method: string): number | undefined {
  if (method === 'HEAD' || statusCode === 204 || statusCode === 304) return 0;
  if (headers['transfer-encoding'] !== undefined || headers['content-length'] === undefined) return undefined;
  return Number(headers['content-length']);
}

function isChunked({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined;
}

function isKeptAlive({ headers, httpVersion }: IncomingMessage): boolean {
  return httpVersion === '1.1' && !/\bclose\b/i.test(headers.connection ?? '');
}
