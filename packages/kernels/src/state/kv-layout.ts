import type { KvStateSpec } from '../graph/graph';

/** Positions per block, a power of two. Part of the contract with executors. */
export const BLOCK_POSITIONS = 32;

/** Bytes of one block of a state: 32 positions' keys and values as float32. */
export function kvBlockBytes(spec: KvStateSpec): number {
  return 4 * BLOCK_POSITIONS * spec.kvHeads * (spec.keyDim + spec.valueDim);
}
