import type { StagingMemory } from './backend';

/** Fresh memory for each use, since it stays where it is. */
export const FRESH: StagingMemory = { room: (byteLength) => new ArrayBuffer(byteLength) };

/**
 * Memory that is used again once it has been given back: fresh pages cost more than what is written to them. What lies
 * here unused is never more pieces, nor larger ones, than were in use at a time.
 */
export class RoomPool implements StagingMemory {
  readonly #own = new WeakSet<ArrayBufferLike>();
  /** Smallest first. */
  readonly #free: ArrayBuffer[] = [];

  /** The smallest that is large enough; where there is none, a new piece in the place of one that is too small. */
  room(byteLength: number): ArrayBuffer {
    const at = this.#free.findIndex((memory) => memory.byteLength >= byteLength);
    if (at >= 0) return this.#free.splice(at, 1)[0]!;
    this.#free.pop();
    const memory = new ArrayBuffer(byteLength);
    this.#own.add(memory);
    return memory;
  }

  has(memory: ArrayBufferLike): boolean {
    return this.#own.has(memory);
  }

  give(memory: ArrayBuffer): void {
    const at = this.#free.findIndex(({ byteLength }) => byteLength >= memory.byteLength);
    this.#free.splice(at < 0 ? this.#free.length : at, 0, memory);
  }
}
