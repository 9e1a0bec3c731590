import type { StateSpec } from '../graph/graph';

/**
 * What one sequence keeps for one op of one block between passes, wherever that is: in blocks of host memory
 * (`KvState`), or on an executor's device. Positions are logical.
 */
export interface LayerState {
  readonly spec: StateSpec;
  /** Positions below this one have a place. */
  readonly length: number;
  /** First position that is kept; those before were released. */
  readonly start: number;
  /** Bytes held. */
  readonly byteLength: number;
  /** Makes a place for every position below `length`; throws where there is no memory, and then nothing has changed. */
  reserve(length: number): void;
  /** Gives back what holds only positions before `beforePosition`. */
  release(beforePosition: number): void;
  /** Forgets positions from `length` on. */
  truncate(length: number): void;
  /** An independent copy. */
  fork(): LayerState;
  /** Gives everything back. Idempotent. */
  dispose(): void;
}
