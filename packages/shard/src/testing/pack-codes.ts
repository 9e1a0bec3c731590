import type { SampleTensor } from './raw-sample';

/** Unsigned codes in words, low bits first: each right after the one before, or so many to a word. One bit at a time. */
export function packCodes(codes: readonly number[], bits: number, perWord?: number): Uint32Array {
  const place = (i: number) => (perWord === undefined ? i * bits : Math.floor(i / perWord) * 32 + (i % perWord) * bits);
  const words = new Uint32Array(
    perWord === undefined ? Math.ceil((codes.length * bits) / 32) : Math.ceil(codes.length / perWord),
  );
  for (const [i, code] of codes.entries()) {
    for (let b = 0; b < bits; b++) {
      const at = place(i) + b;
      if ((code >> b) & 1) words[at >> 5]! |= 1 << (at & 31);
    }
  }
  return words;
}

/** Words, line by line, as one tensor. */
export function wordTensor(
  shape: readonly number[],
  lines: readonly Uint32Array[],
  dtype: 'I32' | 'U32',
): SampleTensor {
  return { dtype, shape, data: Uint8Array.from(lines.flatMap((line) => [...new Uint8Array(line.buffer)])) };
}
