import type { StateSpec } from '../graph/graph';
import type { BlockPool } from './block-pool';
import { KvState } from './kv-state';

/** What one sequence keeps for one op of one block between passes; one class per `StateSpec` kind. */
export type LayerState = KvState;

/** An empty state of a spec, with its memory from `pool`. */
export function createState(pool: BlockPool, spec: StateSpec): LayerState {
  return new KvState(pool, spec);
}
