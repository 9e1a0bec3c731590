import { setTimeout as sleep } from 'node:timers/promises';

/** A timer wakes late by about so much; what was not sent meanwhile may follow at once. */
const BURST_MS = 4;

/** What connections may share. */
export interface Line {
  readonly bytesPerSecond: number;
  /** Resolves when so many bytes may go. */
  take(bytes: number): Promise<void>;
}

/** A line of limited rate. */
export class Link implements Line {
  #freeAt = 0;

  constructor(readonly bytesPerSecond: number) {}

  async take(bytes: number): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now - BURST_MS) + (bytes / this.bytesPerSecond) * 1000;
    if (this.#freeAt > now) await sleep(this.#freeAt - now);
  }
}
