import { Slots } from './slots';

/** On a quick line two do: while one waits for its next answer, the other brings bytes. */
const FIRST = 2;
/** Bytes per second up to which as many are opened as there may be. */
const QUICK = 300e6;
/** Above it more of them must bring so many times as much. */
const WORTH = 1.15;
const STEP_MS = 200;

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
  #settled: boolean;
  #received = 0;
  #total = 0;
  #tasks = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(most: number) {
    this.#most = most;
    this.#count = Math.min(FIRST, most);
    this.#settled = this.#count === most;
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
    if (this.#settled) return;
    const rate = (this.#received / ms) * 1000;
    this.#received = 0;
    if (this.#before !== undefined && rate < this.#before * WORTH) {
      this.#settled = true;
      this.#change(Math.max(FIRST, Math.ceil(this.#count / 2)));
    } else {
      this.#settled = this.#count === this.#most;
      this.#before = rate < QUICK ? undefined : rate;
      this.#change(Math.min(this.#most, this.#count * 2));
    }
    if (this.#settled) this.#stop();
  }

  #change(count: number): void {
    this.#slots.change(count - this.#count);
    this.#count = count;
  }

  #start(): void {
    this.#stop();
    if (this.#settled) return;
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
