import { HostBuffer, type Reader } from '@airllm/loader';
import type { ExpertSegment } from '../plan/types';
import { type PlacedWeight, readWeights } from './read-weights';

interface Slot {
  readonly offset: number;
  key: string | null;
  weights: Promise<readonly PlacedWeight[]> | null;
  users: number;
}

/**
 * Slots of equal size for the parts of routed experts. Which experts a pass needs is known only at the router, so this
 * is the one place where a least-recently-used cache earns its keep: what is used often stays.
 */
export class ExpertCache {
  readonly #reader: Reader;
  readonly #buffer: HostBuffer | null;
  /** Least recently used first. */
  readonly #slots: Slot[];
  readonly #waiters: (() => void)[] = [];
  #waitMs = 0;

  constructor(slots: { readonly count: number; readonly bytes: number }, reader: Reader) {
    this.#reader = reader;
    this.#buffer = slots.count > 0 ? HostBuffer.allocate(slots.count * slots.bytes, { label: 'expert slots' }) : null;
    this.#slots = Array.from({ length: slots.count }, (_, i) => ({
      offset: i * slots.bytes,
      key: null,
      weights: null,
      users: 0,
    }));
  }

  get waitMs(): number {
    return this.#waitMs;
  }

  get slotCount(): number {
    return this.#slots.length;
  }

  has(key: string): boolean {
    return this.#slots.some((slot) => slot.key === key);
  }

  /** Weights of an expert part, read now if no slot holds them. Every acquire needs its release. */
  async acquire(key: string, segment: ExpertSegment): Promise<readonly PlacedWeight[]> {
    const slot = await this.#slotFor(key, segment);
    const start = performance.now();
    try {
      return await slot.weights!;
    } catch (error) {
      slot.key = null;
      slot.weights = null;
      this.#free(slot);
      throw error;
    } finally {
      this.#waitMs += performance.now() - start;
    }
  }

  release(key: string): void {
    const slot = this.#slots.find((candidate) => candidate.key === key);
    if (slot) this.#free(slot);
  }

  dispose(): void {
    this.#buffer?.dispose();
  }

  #free(slot: Slot): void {
    slot.users--;
    this.#waiters.shift()?.();
  }

  async #slotFor(key: string, segment: ExpertSegment): Promise<Slot> {
    for (;;) {
      const held = this.#slots.findIndex((slot) => slot.key === key);
      const index = held >= 0 ? held : this.#slots.findIndex((slot) => slot.users === 0);
      if (index >= 0) {
        const [slot] = this.#slots.splice(index, 1) as [Slot];
        this.#slots.push(slot);
        slot.users++;
        if (held < 0) {
          slot.key = key;
          slot.weights = readWeights(this.#reader, segment.weights, this.#buffer!, slot.offset);
          slot.weights.catch(() => {});
        }
        return slot;
      }
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }
}
