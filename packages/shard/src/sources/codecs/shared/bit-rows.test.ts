import { describe, expect, test } from 'vitest';
import { packCodes } from '../../../testing/pack-codes';
import { SampleNumbers } from '../../../testing/raw-sample';
import { unpackBits } from './bit-rows';

const ROWS = 3;

describe.each([1, 2, 3, 4, 5, 6, 7, 8])('%i bits', (bits) => {
  test.each([2, 10, 30, 32, 34, 96, 130])('%i columns', (columns) => {
    const numbers = new SampleNumbers(bits * columns);
    const codes = Array.from({ length: ROWS * columns }, () => numbers.next(2 ** bits));
    const order = Int32Array.from({ length: columns }, (_, k) => columns - 1 - k);
    for (const perWord of [undefined, Math.floor(32 / bits)]) {
      const lines = Array.from({ length: ROWS }, (_, n) =>
        packCodes(codes.slice(n * columns, (n + 1) * columns), bits, perWord),
      );
      const rowWords = lines[0]!.length;
      // An odd address, as readers give them.
      const bytes = Uint8Array.from([0, ...lines.flatMap((line) => [...new Uint8Array(line.buffer)])]).subarray(1);
      const packing = { bits, rowWords, ...(perWord && { perWord }) };
      for (const width of bits <= 4 ? ([4, 8] as const) : ([8] as const)) {
        for (const wanted of [undefined, order]) {
          const out = new Uint8Array((ROWS * columns * width) / 8 + 1).fill(0xa5);
          unpackBits(packing, bytes, { rows: ROWS, columns, width, order: wanted }, out.subarray(1));
          const found = codes.map((_, i) => (width === 8 ? out[1 + i]! : (out[1 + (i >> 1)]! >> (4 * (i % 2))) & 15));
          const at = (i: number) => (wanted ? i - (i % columns) + wanted[i % columns]! : i);
          expect(found).toEqual(codes.map((_, i) => codes[at(i)]));
        }
      }
    }
  });
});
