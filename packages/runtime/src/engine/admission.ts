import { onAbort } from '../on-abort';

/** Lets users in while the sum of what they need fits, in the order they came. */
export class Admission {
  readonly #limit: number;
  readonly #queue: { readonly need: number; readonly enter: () => void; readonly refuse: (reason: unknown) => void }[] =
    [];
  #used = 0;
  #closed: { readonly reason: unknown } | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Waits for room and resolves to the function that gives it back (idempotent). A need above the limit counts as the
   * limit: alone, anybody gets in. Rejects with the signal's reason.
   */
  async enter(need: number, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const leave = this.tryEnter(need);
    if (leave !== null) return leave;
    const bytes = Math.min(need, this.#limit);
    await this.#wait(bytes, signal);
    return this.#leaving(bytes);
  }

  /** The same without waiting: null where there is no room now, or others wait for it. */
  tryEnter(need: number): (() => void) | null {
    if (this.#closed) throw this.#closed.reason;
    const bytes = Math.min(need, this.#limit);
    if (this.#queue.length > 0 || this.#used + bytes > this.#limit) return null;
    this.#used += bytes;
    return this.#leaving(bytes);
  }

  /** Rejects those who wait and those who come later. */
  close(reason: unknown): void {
    this.#closed = { reason };
    for (const { refuse } of this.#queue.splice(0)) refuse(reason);
  }

  #leaving(bytes: number): () => void {
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.#used -= bytes;
      this.#admit();
    };
  }

  #wait(need: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = {
        need,
        enter: () => {
          stop();
          resolve();
        },
        refuse: (reason: unknown) => {
          stop();
          reject(reason);
        },
      };
      this.#queue.push(entry);
      const stop = onAbort(signal, () => {
        this.#queue.splice(this.#queue.indexOf(entry), 1);
        reject(signal!.reason);
        this.#admit();
      });
    });
  }

  #admit(): void {
    while (this.#queue.length > 0 && this.#used + this.#queue[0]!.need <= this.#limit) {
      const { need, enter } = this.#queue.shift()!;
      this.#used += need;
      enter();
    }
  }
}
