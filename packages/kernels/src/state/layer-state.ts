import type { KvState } from './kv-state';

/** What one sequence keeps for one op of one block between passes; one class per `StateSpec` kind. */
export type LayerState = KvState;
