/** Numbers from 0 to below 1 that depend on the seed alone (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What lengths, counts and offsets break on. */
const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** A damaged copy: one to four changes, most of them near either end, where files describe themselves. */
export function mutate(bytes: Uint8Array, random: () => number, edge = 4096): Buffer {
  let copy: Buffer = Buffer.from(bytes);
  const changes = 1 + Math.floor(random() * 4);
  for (let i = 0; i < changes && copy.length > 0; i++) copy = change(copy, random, Math.min(edge, copy.length));
  return copy;
}

function change(bytes: Buffer, random: () => number, edge: number): Buffer {
  const below = (limit: number) => Math.floor(random() * limit);
  const where = random();
  const at = where < 0.5 ? below(edge) : where < 0.85 ? bytes.length - 1 - below(edge) : below(bytes.length);
  const width = Math.min([1, 2, 4][below(3)]!, bytes.length - at);
  switch (below(7)) {
    case 0:
      bytes[at]! ^= 1 << below(8);
      return bytes;
    case 1:
      bytes[at] = below(256);
      return bytes;
    case 2: {
      const value = EXTREMES[below(EXTREMES.length)]!;
      for (let i = 0; i < width; i++) bytes[at + i] = (value >>> (8 * i)) & 0xff;
      return bytes;
    }
    case 3:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([below(256)]), bytes.subarray(at)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(8))]);
    case 5: {
      // Another part of the file in this place.
      const from = below(bytes.length);
      const length = Math.min(1 + below(64), bytes.length - from, bytes.length - at);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, from + length), bytes.subarray(at + length)]);
    }
    default:
      return random() < 0.1 ? bytes.subarray(0, at) : bytes;
  }
}
