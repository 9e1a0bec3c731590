import { PassThrough, Readable, Writable } from 'node:stream';
import type { CliIo, StopSignal } from '../io';
import { runCommandLine } from '../main';

interface FakeOptions {
  /** What is piped in; absent with `terminal`. */
  readonly stdin?: string;
  /** All three streams are a terminal. */
  readonly terminal?: boolean;
  readonly env?: Record<string, string>;
}

/** The outside world as a test sees it. */
export class FakeIo implements CliIo {
  readonly stdin: CliIo['stdin'];
  readonly stdout: Recorder;
  readonly stderr: Recorder;
  readonly env: Record<string, string>;
  /** Codes `exit` was called with. */
  readonly exits: number[] = [];
  readonly #listeners = new Set<(signal: StopSignal) => void>();
  readonly #typed = new PassThrough();

  constructor({ stdin = '', terminal = false, env = {} }: FakeOptions = {}) {
    this.stdin = terminal ? Object.assign(this.#typed, { isTTY: true }) : Readable.from([Buffer.from(stdin)]);
    this.stdout = new Recorder(terminal);
    this.stderr = new Recorder(terminal);
    this.env = env;
  }

  onSignal(listener: (signal: StopSignal) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  exit(code: number): void {
    this.exits.push(code);
  }

  raise(signal: StopSignal): void {
    for (const listener of this.#listeners) listener(signal);
  }

  /** Whether somebody listens for Ctrl-C. */
  get isListening(): boolean {
    return this.#listeners.size > 0;
  }

  type(text: string): void {
    this.#typed.write(text);
  }

  endOfInput(): void {
    this.#typed.end();
  }
}

/** Keeps what is written, and lets a test wait for it. */
export class Recorder extends Writable {
  readonly isTTY: boolean;
  readonly columns = 80;
  text = '';
  readonly #waiting = new Set<() => void>();

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.text += chunk.toString();
    for (const wake of this.#waiting) wake();
    done();
  }

  /** Resolves once the text from `start` on matches. */
  async until(pattern: RegExp, start = 0): Promise<void> {
    while (!pattern.test(this.text.slice(start))) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }
}

/** Runs a command line to its end. */
export async function airllm(argv: readonly string[], options: FakeOptions = {}) {
  const io = new FakeIo(options);
  const code = await runCommandLine(argv, io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}
