import type { Segment } from './types';

/**
 * Chooses which segments stay in memory, within `bytes`. They are spread evenly through the cycle by bytes, so that
 * between two segments that must be read there is always about the same amount of computing on ones that need not be.
 * Segments without weights of their own cost nothing and stay.
 */
export function choosePinned(segments: readonly Pick<Segment, 'bytes'>[], bytes: number): boolean[] {
  const total = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const share = total === 0 ? 1 : Math.min(1, bytes / total);
  let passed = 0;
  let used = 0;
  const pinned = segments.map((segment) => {
    passed += segment.bytes;
    if (segment.bytes > 0 && used + segment.bytes > Math.min(bytes, share * passed)) return false;
    used += segment.bytes;
    return true;
  });
  // What rounding left over goes to the first segments it has room for.
  segments.forEach((segment, i) => {
    if (pinned[i] || used + segment.bytes > bytes) return;
    pinned[i] = true;
    used += segment.bytes;
  });
  return pinned;
}
