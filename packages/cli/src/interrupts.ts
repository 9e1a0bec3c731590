import { StoppedError } from './errors';
import type { CliIo, StopSignal } from './io';

/**
 * Ctrl-C: the first asks the work to end (what was begun is finished or undone cleanly), the second ends the program.
 * A chat takes the first one for the answer it is giving.
 */
export class Interrupts {
  readonly #io: CliIo;
  readonly #controller: AbortController;
  readonly #release: () => void;
  #handler: (() => void) | undefined;

  constructor(io: CliIo, controller: AbortController) {
    this.#io = io;
    this.#controller = controller;
    this.#release = io.onSignal((signal) => this.raise(signal));
  }

  raise(signal: StopSignal): void {
    const stopped = new StoppedError(signal);
    if (signal === 'SIGINT' && this.#handler !== undefined) this.#handler();
    else if (this.#controller.signal.aborted) this.#io.exit(stopped.exitCode);
    else this.#controller.abort(stopped);
  }

  /** Hands Ctrl-C to somebody else until the returned function is called. */
  take(handler: () => void): () => void {
    this.#handler = handler;
    return () => {
      if (this.#handler === handler) this.#handler = undefined;
    };
  }

  dispose(): void {
    this.#release();
  }
}
