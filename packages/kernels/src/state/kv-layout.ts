import type { KvCacheDType, KvStateSpec } from '../graph/graph';
import { BLOCK_ALIGNMENT } from './block-pool';

/** Positions per block, a power of two. Part of the contract with executors. */
export const BLOCK_POSITIONS = 32;

const ITEM_BYTES: Readonly<Record<KvCacheDType, number>> = { float32: 4, bfloat16: 2, int8: 1 };

/**
 * Where things lie in a block of a state, as native/ops/attention-formats.h has it too: keys `[kvHeads, keyDim, 32]`
 * (by column, so that scores of neighbouring positions lie side by side), values `[kvHeads, 32, valueDim]`, and for int8
 * float32 scales of both, `[kvHeads, 32]` each. Offsets of `keys` and `values` count items, of scales floats.
 */
export interface KvLayout {
  readonly itemBytes: number;
  /** Items of all keys, which the values follow. */
  readonly keyItems: number;
  readonly valueItems: number;
  /** In floats from the start of the block; undefined where nothing is scaled. */
  readonly scales: { readonly keys: number; readonly values: number; readonly count: number } | undefined;
  /** Bytes of all of it. */
  readonly bytes: number;
}

export function kvLayout(spec: KvStateSpec): KvLayout {
  const { kvHeads, keyDim, valueDim, dtype } = spec;
  const itemBytes = ITEM_BYTES[dtype];
  const keyItems = kvHeads * BLOCK_POSITIONS * keyDim;
  const valueItems = kvHeads * BLOCK_POSITIONS * valueDim;
  const itemsBytes = itemBytes * (keyItems + valueItems);
  if (dtype !== 'int8') return { itemBytes, keyItems, valueItems, scales: undefined, bytes: itemsBytes };
  const count = kvHeads * BLOCK_POSITIONS;
  const keys = itemsBytes / 4;
  const scales = { keys, values: keys + count, count };
  return { itemBytes, keyItems, valueItems, scales, bytes: itemsBytes + 8 * count };
}

/** Bytes of one block of a state as a `BlockPool` hands it out: 32 positions' keys and values, with their scales. */
export function kvBlockBytes(spec: KvStateSpec): number {
  return Math.ceil(kvLayout(spec).bytes / BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT;
}

/** Bytes of a block that hold something: what `KvState.block` gives. */
export function kvContentBytes(spec: KvStateSpec): number {
  return kvLayout(spec).bytes;
}
