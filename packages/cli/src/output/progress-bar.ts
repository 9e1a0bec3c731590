import type { Terminal } from './terminal';
import { formatBytes, formatSeconds } from './units';

export interface Progress<Phase extends string> {
  readonly phase: Phase;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | null;
}

/** Share of the work between two lines where no terminal can redraw one. */
const STEP = 0.1;

/** Progress on stderr: a bar that is redrawn on a terminal, else a line now and then. */
export class ProgressBar<Phase extends string> {
  readonly #terminal: Terminal;
  readonly #names: Readonly<Record<Phase, string>>;
  #phase: Phase | undefined;
  #nextLine = 0;

  constructor(terminal: Terminal, names: Readonly<Record<Phase, string>>) {
    this.#terminal = terminal;
    this.#names = names;
  }

  /** Shows the progress of some work, and takes the bar away at its end. */
  async during<Result>(work: (onProgress: (progress: Progress<Phase>) => void) => Promise<Result>): Promise<Result> {
    try {
      return await work((progress) => this.show(progress));
    } finally {
      this.#terminal.erase();
    }
  }

  show(progress: Progress<Phase>): void {
    const { phase, bytesDone, bytesTotal } = progress;
    const share = bytesTotal === 0 ? 1 : bytesDone / bytesTotal;
    if (this.#terminal.isInteractive) {
      this.#terminal.draw(this.#bar(progress, share));
      return;
    }
    if (phase !== this.#phase) this.#nextLine = 0;
    this.#phase = phase;
    if (share < this.#nextLine) return;
    // Rounding must not print the same step twice.
    this.#nextLine = (Math.floor(share / STEP + 1e-9) + 1) * STEP - 1e-9;
    this.#terminal.note(`${this.#facts(progress, share)}\n`);
  }

  #bar(progress: Progress<Phase>, share: number): string {
    const facts = this.#facts(progress, share);
    const width = Math.min(30, this.#terminal.columns - facts.length - 2);
    if (width < 8) return facts.slice(0, this.#terminal.columns - 1);
    const full = Math.round(share * width);
    return `${'█'.repeat(full)}${'░'.repeat(width - full)} ${facts}`;
  }

  #facts({ phase, bytesDone, bytesTotal, bytesPerSecond, etaSeconds }: Progress<Phase>, share: number): string {
    const left = etaSeconds === null || etaSeconds === 0 ? '' : `, ${formatSeconds(etaSeconds)} left`;
    const rate = bytesPerSecond === 0 || !Number.isFinite(bytesPerSecond) ? '' : `, ${formatBytes(bytesPerSecond)}/s`;
    const percent = String(Math.floor(share * 100)).padStart(3);
    return `${this.#names[phase]} ${percent} % ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}${rate}${left}`;
  }
}
