import type { ByteRange } from '../range-set';

/**
 * Parts of a file in the order to fetch them, where somebody reads it in another order than that of its bytes. Two wait for
 * it: the reader, who wants `wanted` in that order, and the checksum, which goes from the start to the end. A part comes
 * when one of them gets to it, both going on alike: after the last byte neither has much left to do. In the reader's
 * order alone, the checksum of a file that begins with what is used last (`lm_head`, by name) would begin when all has come.
 */
export function partOrder(parts: readonly ByteRange[], wanted: readonly ByteRange[]): ByteRange[] {
  const inFile = [...parts].sort((a, b) => a.from - b.from);
  const ranks = new Map(inFile.map((part) => [part, part.from]));
  const reached = new Set<ByteRange>();
  let read = 0;
  for (const { from, to } of wanted) {
    for (let i = firstEndingAfter(inFile, from); i < inFile.length && inFile[i]!.from < to; i++) {
      const part = inFile[i]!;
      if (!reached.has(part)) ranks.set(part, Math.min(part.from, read + Math.max(0, part.from - from)));
      reached.add(part);
    }
    read += to - from;
  }
  return inFile.sort((a, b) => ranks.get(a)! - ranks.get(b)! || a.from - b.from);
}

function firstEndingAfter(parts: readonly ByteRange[], at: number): number {
  let [low, high] = [0, parts.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (parts[middle]!.to > at) high = middle;
    else low = middle + 1;
  }
  return low;
}
