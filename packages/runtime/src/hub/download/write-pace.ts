/** As long as the system takes over a piece within this, nobody minds that it was written at once. */
const QUICK_MS = 20;
/** Once in a while a write may take up to this: where the processors have much to do, every thread is made to wait. */
const LATE_MS = 100;
const QUICK_IN_A_ROW = 8;
const MOST_IN_A_ROW = 128;

/**
 * Whether to write at once, from the thread that runs the host's JavaScript. While the system takes bytes over into its
 * memory that is far quicker than going to another thread: the processor still has them at hand. Once the drive cannot keep
 * up, a write waits for it, and belongs on another thread; until several there have been quick again, each time more.
 */
export class WritePace {
  #quick = 0;
  #wasLate = false;
  #needed = QUICK_IN_A_ROW;

  get atOnce(): boolean {
    return this.#quick >= this.#needed;
  }

  /** A write on this or another thread took so long. */
  took(ms: number): void {
    if (ms <= QUICK_MS) {
      this.#quick++;
      this.#wasLate = false;
      return;
    }
    const forgiven = this.atOnce && ms <= LATE_MS && !this.#wasLate;
    this.#wasLate = forgiven;
    if (forgiven) return;
    if (this.atOnce) this.#needed = Math.min(MOST_IN_A_ROW, this.#needed * 2);
    this.#quick = 0;
  }
}
