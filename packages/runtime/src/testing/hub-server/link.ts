import { setTimeout as sleep } from 'node:timers/promises';

/** A timer wakes late by about so much; what was not sent meanwhile may follow at once. */
const BURST_MS = 4;

/** A line of limited rate that connections share. */
export class Link {
  #freeAt = 0;

  constructor(readonly bytesPerSecond: number) {}

  /** Resolves when so many bytes may go. */
  async take(bytes: number): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now - BURST_MS) + (bytes / this.bytesPerSecond) * 1000;
    if (this.#freeAt > now) await sleep(this.#freeAt - now);
  }
}
