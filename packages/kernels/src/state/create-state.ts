import type { StateSpec } from '../graph/graph';
import type { BlockSource } from './block-pool';
import { KvState } from './kv-state';

/** An empty state of a spec, with its memory from `pool`; one class per `StateSpec` kind. */
export function createState(pool: BlockSource, spec: StateSpec): KvState {
  return new KvState(pool, spec);
}
