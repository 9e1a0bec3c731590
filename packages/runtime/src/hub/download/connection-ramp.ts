import { Slots } from './slots';

/** On a quick line two do: while one waits for its next answer, the other brings bytes. */
const FIRST = 2;
/** Bytes per second up to which as many are opened as there may be. */
const QUICK = 300e6;
/** Above it more of them must bring so many times as much. */
const WORTH = 1.15;
const STEP_MS = 200;
/** Steps in a row below it after which a line that was quick counts as slow: many servers are so for the first bytes only. */
const SLOWED = 5;

/**
 * Places for connections: two at first, then twice as many, as long as that brings more. The fewer there are, the nearer to
 * its order a file comes, and the less of it is held in memory until the hash has come there.
 */
export class ConnectionRamp {
  readonly #slots: Slots;
  readonly #most: number;
  #count: number;
  /** What came when there were half as many, where that was much. */
  #before: number | undefined;
  #settled = false;
  /** Slow steps in a row since then. */
  #slow = 0;
  #received = 0;
  #total = 0;
  #tasks = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(most: number) {
    this.#most = most;
    this.#count = Math.min(FIRST, most);
    this.#slots = new Slots(this.#count);
  }

  /** How many may be at work. */
  get count(): number {
    return this.#count;
  }

  /** See `Slots`. */
  async run<T>(task: () => Promise<T>, rank: number, signal: AbortSignal): Promise<T> {
    this.#tasks++;
    if (this.#timer === undefined) this.#start();
    try {
      return await this.#slots.run(task, rank, signal);
    } finally {
      this.#tasks--;
      if (this.#tasks === 0) this.#stop();
    }
  }

  /** Bytes of large files have come. */
  received(bytes: number): void {
    // The way to the first bytes says nothing of the line.
    if (this.#total === 0) this.#start();
    this.#received += bytes;
    this.#total += bytes;
  }

  /** So much time has passed since the last step. */
  step(ms: number): void {
    if (!this.#judges) {
      this.#stop();
      return;
    }
    const rate = (this.#received / ms) * 1000;
    this.#received = 0;
    const quick = rate >= QUICK;
    this.#slow = quick ? 0 : this.#slow + 1;
    if (this.#settled && this.#slow < SLOWED) return;
    this.#settled = this.#before !== undefined && quick && rate < this.#before * WORTH;
    this.#before = quick && !this.#settled && this.#count < this.#most ? rate : undefined;
    this.#change(this.#settled ? Math.max(FIRST, Math.ceil(this.#count / 2)) : Math.min(this.#most, this.#count * 2));
  }

  /** There may be more, or those that were added last may not be worth it. */
  get #judges(): boolean {
    return this.#count < this.#most || this.#before !== undefined;
  }

  #change(count: number): void {
    this.#slots.change(count - this.#count);
    this.#count = count;
  }

  #start(): void {
    this.#stop();
    if (!this.#judges) return;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.step(now - last);
      last = now;
    }, STEP_MS).unref();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
