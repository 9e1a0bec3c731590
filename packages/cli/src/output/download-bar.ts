import type { PullProgress } from '@airllm/runtime';
import { ProgressBar } from './progress-bar';
import type { Terminal } from './terminal';

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

  readonly show = ({ repo, bytesDone, bytesTotal, bytesPerSecond, secondsLeft, filesTotal }: PullProgress): void => {
    // All of it was there.
    if (!this.#began && bytesDone === bytesTotal) return;
    if (!this.#began) this.#terminal.note(`downloading ${repo}: ${filesTotal} files\n`);
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
