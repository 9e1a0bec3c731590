import type { Segment } from './types';

/**
 * The ring that keeps several drives busy: while one is read, what lies on the next must have a place too. Runs of
 * segments on one drive alternate at best layer by layer (one file per layer, every other one on another drive); of
 * longer runs, as of shards, no ring can hold two, and the drives are read in turn. Zero where all lies on one drive.
 *
 * @param streamed Share of the segments that passes through the ring.
 */
export function ringForDrives(
  segments: readonly Segment[],
  driveOf: (file: string) => number,
  streamed: number,
): number {
  const runs: { readonly drive: number; bytes: number }[] = [];
  for (const { weights, bytes } of segments) {
    if (weights.length === 0) continue;
    const drive = driveOf(weights[0]!.extent.file);
    const run = runs.at(-1);
    if (run?.drive === drive) run.bytes += bytes;
    else runs.push({ drive, bytes });
  }
  if (runs.length < 2) return 0;
  const longest = Math.max(...runs.map(({ bytes }) => bytes));
  const largest = Math.max(...segments.map(({ bytes }) => bytes));
  return Math.ceil(2 * longest * streamed) + 2 * largest;
}
