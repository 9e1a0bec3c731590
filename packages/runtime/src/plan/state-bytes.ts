import { BLOCK_POSITIONS, type KvStateSpec, kvBlockBytes, type StateSpec } from '@airllm/kernels';
import type { Model } from '../models/model';

/**
 * Bytes of all layers' states for one sequence of `length` positions: in float32 2 · length · layers · kv heads · head
 * dim · 4, rounded up to blocks of 32 positions. A layer with a window keeps what the oldest row of a pass of `maxRows` rows
 * still sees, and a block at either end that is partly used. `counts` leaves states out.
 */
export function stateBytes(
  model: Pick<Model, 'layers'>,
  length: number,
  maxRows: number,
  counts: (spec: StateSpec) => boolean = () => true,
): number {
  let bytes = 0;
  for (const { graph } of model.layers) {
    for (const state of graph.states.filter(counts)) bytes += stateBlocks(state, length, maxRows) * kvBlockBytes(state);
  }
  return bytes;
}

function stateBlocks(state: KvStateSpec, length: number, maxRows: number): number {
  const all = Math.ceil(length / BLOCK_POSITIONS);
  if (state.window === undefined) return all;
  return Math.min(all, Math.ceil((state.window + maxRows) / BLOCK_POSITIONS) + 1);
}
