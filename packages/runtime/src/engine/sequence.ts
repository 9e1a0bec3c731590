import type { LayerState } from '@airllm/kernels';
import { DisposedError } from '@airllm/loader';

export interface SequenceOptions {
  /**
   * Rows that layers with a sliding window have room for beside what the first row of a pass sees. Where a pass has
   * fewer, they keep older positions that long, and rows can be taken back so far. @defaultValue 0
   */
  readonly maxRows?: number | undefined;
  /** Called once, when the memory was given back. */
  readonly onDispose?: (() => void) | undefined;
}

/** One text being read or written: what every layer keeps of it, and how long it is. */
export class Sequence {
  /** By layer, then by the layer graph's states. */
  readonly states: readonly (readonly LayerState[])[];
  #length = 0;
  readonly #maxRows: number;
  readonly #onDispose: () => void;
  #disposed = false;

  /** `states` are empty, and the sequence's from now on. */
  constructor(states: Sequence['states'], { maxRows = 0, onDispose = () => {} }: SequenceOptions = {}) {
    this.#maxRows = maxRows;
    this.#onDispose = onDispose;
    this.states = states;
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
    this.#releaseUnseen(length);
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
   * Forgets positions from `length` on. With sliding windows that goes back to where the last pass began, further where
   * passes were narrow, or to 0: see `KvState.truncate`.
   */
  truncate(length: number): void {
    for (const state of this.#all()) state.truncate(length);
    this.#length = Math.min(this.#length, length);
  }

  /** An independent copy, of its states too. */
  fork(onDispose?: () => void): Sequence {
    if (this.#disposed) throw new DisposedError('sequence');
    const states: LayerState[][] = [];
    try {
      for (const layer of this.states) {
        const copies: LayerState[] = [];
        states.push(copies);
        for (const state of layer) copies.push(state.fork());
      }
    } catch (error) {
      for (const state of states.flat()) state.dispose();
      throw error;
    }
    const copy = new Sequence(states, { maxRows: this.#maxRows, onDispose });
    copy.#length = this.#length;
    return copy;
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

  #releaseUnseen(reserved: number): void {
    const first = Math.min(this.#length, reserved - this.#maxRows);
    for (const state of this.#all()) {
      if (state.spec.window !== undefined) state.release(Math.max(0, first - state.spec.window + 1));
    }
  }

  #all(): readonly LayerState[] {
    return this.states.flat();
  }
}
