import type { KvStateSpec } from '../../graph/graph';
import type { DeviceBuffer } from './backend';

/**
 * Keys and values of one sequence in the provider's memory, `[kvHeads, slots, dim]` each, in float32: as onnxruntime's
 * own attention keeps them. A position lies at slot `position mod slots`: a ring, where fewer are kept than there are.
 */
export interface WorkerState {
  readonly spec: KvStateSpec;
  readonly slots: number;
  readonly keys: DeviceBuffer;
  readonly values: DeviceBuffer;
}

/** Slots that hold something, and the position in each, when positions below `length` have been stored. */
export function positionsAt(slots: number, length: number): Float32Array {
  if (length <= slots) return Float32Array.from({ length }, (_, slot) => slot);
  const last = length - 1;
  return Float32Array.from({ length: slots }, (_, slot) => last - ((last - slot) % slots));
}
