import type { WeightBytes } from '@airllm/kernels';
import type { HostBuffer, Reader } from '@airllm/loader';
import type { WeightExtent } from '../plan/types';

/** A weight where the reader put it, or found it. */
export interface PlacedWeight extends WeightBytes {
  readonly weight: number;
}

/** Reads extents one after the other into a buffer, each at the next place its alignment allows. */
export async function readWeights(
  reader: Reader,
  weights: readonly WeightExtent[],
  buffer: HostBuffer,
  at: number,
): Promise<readonly PlacedWeight[]> {
  let place = at;
  const reads = weights.map(async ({ weight, extent }) => {
    const start = place;
    place += reader.span(extent);
    const offset = await reader.read(extent, buffer, start);
    return { weight, buffer, offset };
  });
  // All must have stopped writing before an error lets anyone reuse the place.
  const settled = await Promise.allSettled(reads);
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}
