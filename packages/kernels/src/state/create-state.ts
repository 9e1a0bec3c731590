import type { StateSpec } from '../graph/graph';
import type { BlockPool } from './block-pool';
import { KvState } from './kv-state';

/** An empty state of a spec, with its memory from `pool`; one class per `StateSpec` kind. */
export function createState(pool: BlockPool, spec: StateSpec): KvState {
  return new KvState(pool, spec);
}
