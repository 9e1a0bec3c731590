/** A token that may be drawn. */
interface Weighted {
  readonly id: number;
  readonly probability: number;
}

/**
 * Draws a token with its probability, by one number in [0, 1): every token gets an exponentially distributed time made
 * from the number and its id, divided by its probability, and the first one wins. Two distributions that are alike give
 * the same token by the same number, whatever the order of their tokens: with total variation distance d, at least
 * with probability (1 - d) / (1 + d). So a drafter that draws by the numbers the model will draw by is right nearly as often as rejection
 * sampling would let it be, and yet what is drawn depends on the seed alone, not on what was drafted when (Daliri,
 * Musco, Suresh 2024, "Coupling without Communication and Drafter-Invariant Speculative Decoding").
 */
export function coupledDraw(distribution: readonly Weighted[], number: number): number {
  const high = Math.floor(number * 2 ** 32);
  const low = Math.floor((number * 2 ** 32 - high) * 2 ** 21);
  let winner = distribution[0]!.id;
  let first = Number.POSITIVE_INFINITY;
  for (const { id, probability } of distribution) {
    const time = -Math.log(uniform(high, low, id)) / probability;
    if (time >= first) continue;
    winner = id;
    first = time;
  }
  return winner;
}

/** A number in (0, 1) for a token: two rounds of murmur3's finaliser per word over seed and id. */
function uniform(high: number, low: number, id: number): number {
  const a = mix(mix(high ^ Math.imul(id + 1, 0x9e3779b1)) + low);
  const b = mix(mix(a ^ low) + Math.imul(id + 1, 0x85ebca77) + high);
  return ((a >>> 5) * 2 ** 26 + (b >>> 6) + 0.5) / 2 ** 53;
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
