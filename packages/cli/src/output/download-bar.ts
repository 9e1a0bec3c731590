import type { PullProgress } from '@airllm/runtime';
import { ProgressBar } from './progress-bar';
import type { Terminal } from './terminal';
import { formatBytes } from './units';

/** The progress of a download, which may go on after the call that began it; its end takes the bar away. */
export class DownloadBar {
  readonly #terminal: Terminal;
  readonly #bar: ProgressBar<'download'>;
  #began = false;
  #isComplete = true;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#bar = new ProgressBar(terminal, { download: 'downloading' });
  }

  readonly show = (progress: PullProgress): void => {
    const { bytesAtStart, bytesDone, bytesTotal, bytesPerSecond, secondsLeft } = progress;
    // All of it was there.
    if (!this.#began && (bytesDone === bytesTotal || bytesAtStart === bytesTotal)) return;
    if (!this.#began) this.#terminal.note(introduction(progress));
    this.#began = true;
    this.#isComplete = bytesDone === bytesTotal;
    this.#bar.show({ phase: 'download', bytesDone, bytesTotal, bytesPerSecond, etaSeconds: secondsLeft ?? null });
    if (this.#isComplete) this.#terminal.erase();
  };

  /** Whether something is still to come: a line of the terminal has room for one bar. */
  get isUnderWay(): boolean {
    return !this.#isComplete;
  }
}

function introduction({ repo, filesTotal, bytesTotal, bytesAtStart }: PullProgress): string {
  const files = filesTotal === 1 ? '1 file' : `${filesTotal} files`;
  const here = bytesAtStart === 0 ? '' : `; ${formatBytes(bytesAtStart)} are here, it goes on from there`;
  return `downloading ${repo}: ${formatBytes(bytesTotal)} in ${files}${here}\n`;
}
