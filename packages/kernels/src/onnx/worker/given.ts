import { GraphError } from '../../errors';
import type { WeightId } from '../../graph/ops';
import type { MemoryRef } from '../protocol';

/** A part's weights in the host's memory, by their index in the graph. */
export type Given = readonly (MemoryRef | undefined)[];

export function takeGiven(given: Given, id: WeightId, shape: readonly number[]): MemoryRef {
  const memory = given[id];
  if (memory !== undefined) return memory;
  throw new GraphError('weights', `weight ${id} [${shape.join(', ')}] was not given`);
}
