interface Reader<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/** How a queue ends: with an error, or without. */
type End = { readonly error?: unknown };

/** Values on their way to whoever reads them, one after the other. */
export class EventQueue<T> implements AsyncIterable<T> {
  readonly #onRead: () => void;
  readonly #waiting: Reader<T>[] = [];
  #unread: { readonly value: T }[] = [];
  #end: End | undefined;

  /** @param onRead - Called whenever a value is taken out, or waited for. */
  constructor(onRead: () => void = () => {}) {
    this.#onRead = onRead;
  }

  /** Values that nobody has read yet. */
  get unread(): number {
    return this.#unread.length;
  }

  /** Ignored once the queue has ended. */
  push(value: T): void {
    if (this.#end !== undefined) return;
    const reader = this.#waiting.shift();
    if (reader === undefined) this.#unread.push({ value });
    else reader.resolve({ done: false, value });
  }

  /** No value comes after those that were pushed. */
  close(): void {
    this.#finish({});
  }

  /** Rejects one read after those of values that were pushed. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  /** Rejects the next read, whatever is unread. */
  abort(reason: unknown): void {
    if (this.#end !== undefined && this.#unread.length === 0) return;
    this.#unread = [];
    this.#end = undefined;
    this.#finish({ error: reason });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const result = new Promise<IteratorResult<T, undefined>>((resolve, reject) => {
      const first = this.#unread.shift();
      if (first !== undefined) resolve({ done: false, value: first.value });
      else this.#waiting.push({ resolve, reject });
      this.#tellEnd();
    });
    this.#onRead();
    return result;
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return { next: () => this.next() };
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.#end === undefined) return;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if ('error' in this.#end) reject(this.#end.error);
      else resolve({ done: true, value: undefined });
      // An error is told once; after it there is nothing.
      this.#end = {};
    }
  }
}
