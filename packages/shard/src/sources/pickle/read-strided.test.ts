import { describe, expect, test } from 'vitest';
import { noise } from '../../testing/checkpoints';
import { gatherSlowly } from '../../testing/torch-read';
import { isStridedTensor, pickleTensor, type StridedTensor } from './pickle-tensor';
import { readStrided, stridedReads } from './read-strided';

const OFFSET = 100;

function strided(dtype: 'U8' | 'BF16' | 'F32' | 'F64', shape: number[], strides: number[]): StridedTensor {
  const tensor = pickleTensor({ name: 't', dtype, shape, strides, file: 'f', offset: OFFSET });
  if (!isStridedTensor(tensor)) throw new Error(`[${shape}] with [${strides}] is contiguous`);
  return tensor;
}

async function gather(tensor: StridedTensor, file: Uint8Array, windowBytes: number, step: number): Promise<Buffer> {
  const rows = tensor.shape.length === 1 ? tensor.shape[0]! : tensor.elementCount / tensor.shape.at(-1)!;
  const parts: Uint8Array[] = [];
  for (let start = 0; start < rows; start += step) {
    const range = { start, end: Math.min(rows, start + step) };
    const read = ({ offset, length }: { offset: number; length: number }, into: Uint8Array) => {
      expect(length).toBeLessThanOrEqual(Math.max(8, windowBytes));
      expect(offset + length).toBeLessThanOrEqual(tensor.storage.offset + tensor.storage.length);
      into.set(file.subarray(offset, offset + length));
    };
    parts.push(await readStrided(tensor, range, read, { windowBytes }));
  }
  return Buffer.concat(parts);
}

const cases: [string, number[], number[]][] = [
  ['transposed', [5, 7], [1, 5]],
  ['a slice of columns', [6, 4], [11, 1]],
  ['every third column', [4, 5], [15, 3]],
  ['three dimensions permuted', [3, 4, 5], [1, 15, 3]],
  ['four dimensions, inner two swapped', [2, 3, 4, 5], [60, 20, 1, 4]],
  ['repeated rows', [6, 5], [0, 1]],
  ['repeated columns', [4, 3], [1, 0]],
  ['one element repeated', [3, 4], [0, 0]],
  ['overlapping windows', [6, 4], [1, 1]],
  ['dimensions of 1 between', [1, 5, 1, 4], [0, 1, 0, 5]],
  ['one dimension', [9], [4]],
  ['far apart', [3, 2, 4], [40_000, 20_000, 1]],
  ['far apart and backwards', [2, 3, 4], [4, 40_000, 1]],
];

describe.each(cases)('%s', (_, shape, strides) => {
  test.each(['U8', 'BF16', 'F32', 'F64'] as const)('of %s, by any window and range of rows', async (dtype) => {
    const tensor = strided(dtype, shape, strides);
    const file = noise(OFFSET + tensor.storage.length, 7);
    const want = gatherSlowly(tensor, file.subarray(OFFSET));
    const tiny = tensor.storage.length < 10_000 ? [1, 24, 100] : [8192];
    for (const windowBytes of [...tiny, 2 ** 20]) {
      for (const step of [1, 2, 4, 7, 1000]) {
        const found = await gather(tensor, file, windowBytes, step);
        expect(found.equals(want), `window ${windowBytes}, step ${step}`).toBe(true);
      }
    }
  });
});

test('holes are skipped, and what is read once per range is no more than the storage', () => {
  const far = strided('F32', [2, 3], [1_000_000, 1]);
  expect([...stridedReads(far, { start: 0, end: 2 })].map(({ extent }) => extent.length)).toEqual([12, 12]);
  const transposed = strided('F32', [1000, 1000], [1, 1000]);
  const bytes = [...stridedReads(transposed, { start: 0, end: 1000 }, 2 ** 20)].map(({ extent }) => extent.length);
  expect(Math.max(...bytes)).toBeLessThanOrEqual(2 ** 20);
  expect(bytes.reduce((sum, each) => sum + each, 0)).toBe(4_000_000);
});

describe('misuse', () => {
  const tensor = strided('F32', [4, 4], [1, 4]);
  const read = () => {};

  test.each([
    [-1, 2],
    [2, 1],
    [0, 5],
    [0.5, 2],
  ])('rows %s to %s are refused', async (start, end) => {
    await expect(readStrided(tensor, { start, end }, read)).rejects.toThrow('rows: expected a range within 0 to 4');
  });

  test('an array that does not fit, or lies askew', async () => {
    const rows = { start: 0, end: 4 };
    await expect(readStrided(tensor, rows, read, { into: new Uint8Array(60) })).rejects.toThrow('64 bytes');
    const askew = new Uint8Array(new ArrayBuffer(80), 2, 64);
    await expect(readStrided(tensor, rows, read, { into: askew })).rejects.toThrow('a multiple of 4');
  });

  test('no rows take no read, and an abort is heard', async () => {
    expect(await readStrided(tensor, { start: 2, end: 2 }, () => expect.fail())).toHaveLength(0);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(readStrided(tensor, { start: 0, end: 1 }, read, { signal })).rejects.toThrow('enough');
  });
});
