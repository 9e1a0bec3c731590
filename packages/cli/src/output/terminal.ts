import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { StoppedError } from '../errors';
import type { CliIo } from '../io';
import { type Style, styleFor } from './style';

/** stdout for what was asked for, stderr for everything else. */
export class Terminal {
  readonly #io: CliIo;
  readonly #controller: AbortController;
  #quiet = false;
  /** A line that comes and goes is on stderr. */
  #drawn = false;
  /** Colours of stderr. */
  readonly style: Style;

  constructor(io: CliIo, controller: AbortController) {
    this.#io = io;
    this.#controller = controller;
    this.style = styleFor(io.stderr, io.env);
    io.stdout.on('error', this.#failed);
    // Nobody is left to be told.
    io.stderr.on('error', ignore);
  }

  /** stderr is a person's. */
  get isInteractive(): boolean {
    return this.#io.stderr.isTTY === true;
  }

  get columns(): number {
    return Math.min(this.#io.stderr.columns ?? 80, 100);
  }

  /** From now on {@link Terminal.note} says nothing. */
  beQuiet(): void {
    this.#quiet = true;
  }

  /** Writes what was asked for, waiting where the reader is slow. Throws the signal's reason when it has gone. */
  async print(text: string): Promise<void> {
    const { signal } = this.#controller;
    if (text === '') return;
    this.erase();
    if (!this.#io.stdout.write(text) && !signal.aborted) {
      await once(this.#io.stdout, 'drain', { signal }).catch(() => undefined);
    }
    if (StoppedError.isInstance(signal.reason)) throw signal.reason;
  }

  async printJson(value: unknown): Promise<void> {
    await this.print(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** Says on stderr what a person may want to know; nothing if asked to be quiet. */
  note(text: string): void {
    if (!this.#quiet) this.tell(text);
  }

  /** Says on stderr what a person must know. */
  tell(text: string): void {
    this.erase();
    this.#say(text);
  }

  /** Shows a line in place of the one that was drawn before; whatever is said next takes it away. */
  draw(line: string): void {
    if (this.#quiet) return;
    this.#say(`\r${line}\u001b[K`);
    this.#drawn = true;
  }

  /** Takes the line away that was drawn. */
  erase(): void {
    if (this.#drawn) this.#say('\r\u001b[K');
    this.#drawn = false;
  }

  /** Resolves when everything written has left the process, or has failed to. */
  async flush(): Promise<void> {
    await Promise.all([flushed(this.#io.stdout), flushed(this.#io.stderr)]);
    // A failed write is told to its callback first, and to listeners a tick later.
    await new Promise((resolve) => setImmediate(resolve));
  }

  async close(): Promise<void> {
    await this.flush();
    this.#io.stdout.off('error', this.#failed);
    this.#io.stderr.off('error', ignore);
  }

  #say(text: string): void {
    if (!this.#io.stderr.destroyed) this.#io.stderr.write(text);
  }

  readonly #failed = (error: NodeJS.ErrnoException): void => {
    if (this.#controller.signal.aborted) return;
    const gone = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED';
    this.#controller.abort(gone ? new StoppedError('EPIPE') : error);
  };
}

function ignore(): void {}

function flushed(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.writableEnded) return Promise.resolve();
  // The callback also comes with an error, which the listeners above have heard.
  return new Promise((resolve) => stream.write('', () => resolve()));
}
