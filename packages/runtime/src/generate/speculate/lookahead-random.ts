import type { RandomSource } from '../random';

/** A random source whose coming numbers can be seen before they are taken. */
export class LookaheadRandom implements RandomSource {
  readonly #source: RandomSource;
  readonly #seen: number[] = [];

  constructor(source: RandomSource) {
    this.#source = source;
  }

  next(): number {
    return this.#seen.shift() ?? this.#source.next();
  }

  /** The number that `next` will return after `skip` others. */
  peek(skip: number): number {
    while (this.#seen.length <= skip) this.#seen.push(this.#source.next());
    return this.#seen[skip]!;
  }
}
