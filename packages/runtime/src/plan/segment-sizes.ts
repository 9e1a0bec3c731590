import type { Model } from '../models/model';

const MIB = 1024 * 1024;

/** Segments of this size keep a drive busy (four 16 MiB requests each) and take little from what could be pinned. */
export const LARGEST_SEGMENT = 64 * MIB;
/** Below this a drive's requests get small, and the segments of a 405B model many. */
const SMALLEST_SEGMENT = 16 * MIB;
/** A small model is cut into about this many segments at most. */
const MOST_SEGMENTS = 256;
/** A read of less costs about as much. */
const LEAST_SEGMENT = 64 * 1024;

/** Segment sizes worth trying for a model, largest first, in bytes. */
export function segmentSizesOf(model: Model): readonly number[] {
  const total = [...model.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0);
  const smallest = Math.min(SMALLEST_SEGMENT, Math.max(LEAST_SEGMENT, Math.floor(total / MOST_SEGMENTS)));
  const sizes = [LARGEST_SEGMENT];
  while (sizes.at(-1)! > smallest) sizes.push(Math.max(smallest, sizes.at(-1)! / 2));
  return sizes;
}
