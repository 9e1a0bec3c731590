import type { Job } from './reader-threads';

interface Watched {
  readonly jobs: Set<Job>;
  readonly listener: () => void;
}

/** One listener per signal, however many reads it governs: Node warns of a leak from the eleventh on. */
export class AbortWatch {
  readonly #watched = new Map<AbortSignal, Watched>();
  readonly #cancel: (job: Job) => void;

  constructor(cancel: (job: Job) => void) {
    this.#cancel = cancel;
  }

  /** Cancels the job when the signal aborts, until the function returned is called. */
  watch(signal: AbortSignal, job: Job): () => void {
    const watched = this.#watched.get(signal) ?? this.#listen(signal);
    watched.jobs.add(job);
    return () => {
      watched.jobs.delete(job);
      if (watched.jobs.size > 0 || this.#watched.get(signal) !== watched) return;
      this.#watched.delete(signal);
      signal.removeEventListener('abort', watched.listener);
    };
  }

  #listen(signal: AbortSignal): Watched {
    const jobs = new Set<Job>();
    const listener = () => {
      for (const job of jobs) this.#cancel(job);
    };
    const watched = { jobs, listener };
    this.#watched.set(signal, watched);
    signal.addEventListener('abort', listener, { once: true });
    return watched;
  }
}
