import type { Line } from './link';

/** A line that carries as many bytes as it was given, in the order in which they are asked for. */
export class Ration implements Line {
  readonly bytesPerSecond = Infinity;
  #left = 0;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  give(bytes: number): void {
    this.#left += bytes;
    this.#serve();
  }

  take(bytes: number): Promise<void> {
    return new Promise((go) => {
      this.#waiting.push({ bytes, go });
      this.#serve();
    });
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#left; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#left -= next.bytes;
      next.go();
    }
  }
}
