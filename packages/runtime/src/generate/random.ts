/** A seeded stream of numbers in [0, 1): the same on every platform, so that a seed reproduces a text. */
export interface RandomSource {
  next(): number;
}

/** sfc32 (C. Doty-Humphrey, PractRand): small, fast, passes its author's and TestU01's batteries. */
export function seededRandom(seed: number): RandomSource {
  let a = 0;
  let b = seed >>> 0;
  let c = Math.floor(seed / 2 ** 32) >>> 0;
  let counter = 1;
  const next32 = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  // Neighbouring seeds differ in few bits: let them spread before the first number is used.
  for (let i = 0; i < 12; i++) next32();
  return {
    next: () => ((next32() >>> 5) * 2 ** 26 + (next32() >>> 6)) / 2 ** 53,
  };
}
