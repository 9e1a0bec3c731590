import type { PullProgress } from '@airllm/runtime';
import { ProgressBar } from './progress-bar';
import type { Terminal } from './terminal';

/** The progress of a download, which may go on after the call that began it; its end takes the bar away. */
export class DownloadBar {
  readonly #terminal: Terminal;
  readonly #bar: ProgressBar<'download'>;
  #began = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#bar = new ProgressBar(terminal, { download: 'downloading' });
  }

  readonly show = ({ repo, bytesDone, bytesTotal, bytesPerSecond, secondsLeft, filesTotal }: PullProgress): void => {
    // All of it was there.
    if (!this.#began && bytesDone === bytesTotal) return;
    if (!this.#began) this.#terminal.note(`downloading ${repo}: ${filesTotal} files\n`);
    this.#began = true;
    this.#bar.show({ phase: 'download', bytesDone, bytesTotal, bytesPerSecond, etaSeconds: secondsLeft ?? null });
    if (bytesDone === bytesTotal) this.#terminal.erase();
  };
}
