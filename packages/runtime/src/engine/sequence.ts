import { type BlockPool, createState, type LayerState } from '@airllm/kernels';
import { DisposedError } from '@airllm/loader';
import type { Model } from '../models/model';

/** One text being read or written: what every layer keeps of it, and how long it is. */
export class Sequence {
  /** By layer, then by the layer graph's states. */
  readonly states: readonly (readonly LayerState[])[];
  #length = 0;
  readonly #onDispose: () => void;
  #disposed = false;

  constructor(model: Model, pool: BlockPool, onDispose: () => void = () => {}) {
    this.#onDispose = onDispose;
    this.states = model.layers.map((layer) => layer.graph.states.map((spec) => createState(pool, spec)));
  }

  /** Positions that were run. */
  get length(): number {
    return this.#length;
  }

  /**
   * Makes room for positions below `length` in every layer; on failure nothing has grown. What no row from here on will
   * see is given back first: not sooner, so that rows of the pass before can still be taken back.
   */
  reserve(length: number): void {
    if (this.#disposed) throw new DisposedError('sequence');
    const before = this.#length;
    this.#releaseUnseen();
    try {
      for (const state of this.#all()) state.reserve(length);
    } catch (error) {
      for (const state of this.#all()) state.truncate(before);
      throw error;
    }
  }

  /** Records that positions below `length` were run. */
  advance(length: number): void {
    this.#length = Math.max(this.#length, length);
  }

  /**
   * Forgets positions from `length` on. With sliding windows that goes back to where the last pass began, or to 0: see
   * `KvState.truncate`.
   */
  truncate(length: number): void {
    for (const state of this.#all()) state.truncate(length);
    this.#length = Math.min(this.#length, length);
  }

  /** Gives the memory back. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const state of this.#all()) state.dispose();
    this.#onDispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #releaseUnseen(): void {
    for (const state of this.#all()) {
      if (state.spec.window !== undefined) state.release(Math.max(0, this.#length - state.spec.window + 1));
    }
  }

  #all(): readonly LayerState[] {
    return this.states.flat();
  }
}
