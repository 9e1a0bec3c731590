import type { Request } from './protocol';
import { type Job, type Outcome, ReaderThreads } from './reader-threads';

/**
 * Reader threads by drive, so that one that is slow keeps nobody waiting but those who want its files. Files are opened
 * and closed by the threads of the first drive that is read.
 */
export class DriveThreads {
  readonly #limit: number;
  readonly #first: ReaderThreads;
  /** By device number (st_dev). */
  readonly #drives = new Map<number, ReaderThreads>();

  /** @param limit Threads for each drive. */
  constructor(limit: number) {
    this.#limit = limit;
    this.#first = new ReaderThreads(limit);
  }

  /** Wall-clock milliseconds in which the busiest drive was at work. */
  get busyMs(): number {
    return Math.max(...this.#all().map(({ busyMs }) => busyMs));
  }

  warmUp(): void {
    this.#first.warmUp();
  }

  /** See `ReaderThreads.submit`; without a device the first drive's threads answer. */
  submit(request: Request, job: Job, device?: number): Promise<Outcome | undefined> {
    return (device === undefined ? this.#first : this.#of(device)).submit(request, job);
  }

  cancel(job: Job): void {
    for (const threads of this.#all()) threads.cancel(job);
  }

  cancelAll(): void {
    for (const threads of this.#all()) threads.cancelAll();
  }

  async close(): Promise<void> {
    await Promise.all(this.#all().map((threads) => threads.close()));
  }

  #of(device: number): ReaderThreads {
    let threads = this.#drives.get(device);
    if (threads === undefined) {
      threads = this.#drives.size === 0 ? this.#first : new ReaderThreads(this.#limit);
      this.#drives.set(device, threads);
    }
    return threads;
  }

  #all(): ReaderThreads[] {
    return [...new Set([this.#first, ...this.#drives.values()])];
  }
}
