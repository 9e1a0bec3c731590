import type { BatchProgress } from '@airllm/runtime';
import type { Terminal } from '../output/terminal';
import { formatExact, formatSeconds, significant } from '../output/units';

/** Milliseconds between two lines where no terminal can redraw one. */
const QUIET_MS = 30_000;
const REDRAW_MS = 100;

/** A batch's progress on stderr: a line that is redrawn on a terminal, else one now and then. */
export class BatchMeter {
  readonly #terminal: Terminal;
  /** Of the input; undefined where nobody knows. */
  readonly #bytesTotal: number | undefined;
  #shownAt = Number.NEGATIVE_INFINITY;
  #drawn = false;

  constructor(terminal: Terminal, bytesTotal: number | undefined) {
    this.#terminal = terminal;
    this.#bytesTotal = bytesTotal;
  }

  show(progress: BatchProgress, now: number): void {
    const { isInteractive, columns } = this.#terminal;
    if (now - this.#shownAt < (isInteractive ? REDRAW_MS : QUIET_MS)) return;
    this.#shownAt = now;
    const line = progressLine(progress, this.#bytesTotal);
    this.#terminal.note(isInteractive ? `\r${line.slice(0, columns - 1)}\u001b[K` : `${line}\n`);
    this.#drawn = isInteractive;
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#drawn) this.#terminal.note('\r\u001b[K');
    this.#drawn = false;
  }
}

/** How far a batch is, how fast, and how long it will take: the rest of the input at the speed of this run so far. */
export function progressLine(progress: BatchProgress, bytesTotal: number | undefined): string {
  const { answered, failed, active, newTokens, seconds } = progress;
  const eta = secondsLeft(progress, bytesTotal);
  return [
    ...(bytesTotal ? [`${Math.floor((100 * Math.min(progress.bytesDone, bytesTotal)) / bytesTotal)} %`] : []),
    `${formatExact(answered)} answered${failed > 0 ? `, ${formatExact(failed)} of them with errors` : ''}`,
    `${formatExact(active)} running`,
    ...(seconds > 0 ? [`${significant((60 * answered) / seconds)} a minute`] : []),
    ...(seconds > 0 ? [`${significant(newTokens / seconds)} tokens/s`] : []),
    ...(eta === undefined ? [] : [`${formatSeconds(eta)} left`]),
  ].join(' · ');
}

function secondsLeft({ bytesDone, bytesSkipped, seconds }: BatchProgress, bytesTotal: number | undefined) {
  const worked = bytesDone - bytesSkipped;
  if (bytesTotal === undefined || worked <= 0) return undefined;
  return (seconds * Math.max(0, bytesTotal - bytesDone)) / worked;
}
