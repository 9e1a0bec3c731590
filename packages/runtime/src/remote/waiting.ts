/** Promises that others may stop waiting for. */
export class Waiting {
  readonly #rejects = new Set<(reason: unknown) => void>();
  #ended: { readonly reason: unknown } | undefined;

  /** What `promise` comes to, unless the wait is given up or ended, or the signal aborts, before. */
  for<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
    promise.catch(() => {});
    if (this.#ended !== undefined) return Promise.reject(this.#ended.reason);
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise<T>((resolve, reject) => {
      const abort = () => reject(signal!.reason);
      const leave = () => {
        this.#rejects.delete(reject);
        signal?.removeEventListener('abort', abort);
      };
      this.#rejects.add(reject);
      signal?.addEventListener('abort', abort, { once: true });
      promise.then(resolve, reject).finally(leave);
    });
  }

  /** Rejects those who wait now. */
  giveUp(reason: unknown): void {
    for (const reject of [...this.#rejects]) reject(reason);
    this.#rejects.clear();
  }

  /** Rejects them, and everybody who comes later. */
  end(reason: unknown): void {
    this.#ended ??= { reason };
    this.giveUp(reason);
  }
}
