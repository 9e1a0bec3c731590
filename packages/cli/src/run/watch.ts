import { writeFile } from 'node:fs/promises';
import { chromeTrace, type LanguageModel, type Observer, type Span } from '@airllm/runtime';
import type { Context } from '../command';
import { SpanTally, statsLine } from './live-stats';

interface WatchOptions {
  /** File to write a trace to. */
  readonly trace?: string | undefined;
  readonly stats?: boolean | undefined;
}

/** Spans a trace holds: about 20 MB of memory, and a hundred tokens of a model of 300 segments. */
const MOST_SPANS = 100_000;
const INTERVAL_MS = 1000;

/** Watches a run: collects a trace, and shows figures on stderr once a second. */
export class Watch {
  readonly #context: Context;
  readonly #options: WatchOptions;
  readonly #spans: Span[] = [];
  readonly #tally = new SpanTally(performance.now());
  #dropped = 0;
  #shown = false;

  constructor(context: Context, options: WatchOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** For the engine; undefined where nobody wants to know. */
  get observe(): Observer | undefined {
    const { trace, stats } = this.#options;
    if (trace === undefined && !stats) return undefined;
    return (span) => {
      if (stats) this.#tally.add(span);
      if (trace === undefined) return;
      if (this.#spans.length < MOST_SPANS) this.#spans.push(span);
      else this.#dropped++;
    };
  }

  /**
   * Shows figures while some work goes on, and writes the trace at its end, however it ends. Throws what the work throws,
   * and file system errors, the first of them before anything is computed.
   */
  async during<Result>(model: LanguageModel, work: () => Promise<Result>): Promise<Result> {
    const { trace, stats } = this.#options;
    if (trace !== undefined) await writeFile(trace, '');
    const timer = stats && setInterval(() => this.#show(performance.now(), model), INTERVAL_MS);
    try {
      return await work();
    } finally {
      if (timer) clearInterval(timer);
      this.#clear();
      if (trace !== undefined) await this.#write(trace);
    }
  }

  /** Shows what happened since it was last shown, or takes the line away if nothing did. */
  #show(now: number, model: LanguageModel): void {
    const { terminal } = this.#context;
    const figures = this.#tally.take(now);
    if (figures === undefined) {
      this.#clear();
      return;
    }
    const line = statsLine(figures, model.info.plan);
    if (terminal.isInteractive) {
      terminal.note(draw(terminal.style.dim(line.slice(0, terminal.columns - 1)), this.#sharesScreen));
      this.#shown = true;
    } else terminal.note(`${line}\n`);
  }

  async #write(trace: string): Promise<void> {
    await writeFile(trace, JSON.stringify(chromeTrace(this.#spans)));
    const rest = this.#dropped === 0 ? '' : `, the first of ${this.#spans.length + this.#dropped}`;
    this.#context.terminal.note(`trace of ${this.#spans.length} spans${rest}: ${trace}\n`);
  }

  /** The answer is written to the terminal that shows the figures. */
  get #sharesScreen(): boolean {
    return this.#context.io.stdout.isTTY === true;
  }

  #clear(): void {
    if (this.#shown) this.#context.terminal.note(this.#sharesScreen ? ERASE_BELOW : `\r${ERASE_BELOW}`);
    this.#shown = false;
  }
}

/** From the cursor to the end of the screen (ECMA-48 ED). */
const ERASE_BELOW = '\u001b[J';

/**
 * Rewrites the line. Where the answer is written on the same screen it stands in the row below the answer: the cursor goes
 * there (IND, which scrolls if it must and keeps the column), and back.
 */
function draw(line: string, belowText: boolean): string {
  if (!belowText) return `\r${line}\u001b[K`;
  return `${ERASE_BELOW}\u001bD\u001b[A\u001b7\u001b[B\r${line}\u001b8`;
}
