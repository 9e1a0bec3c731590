import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { noise } from '../../testing/checkpoints';
import { convertInMemory } from '../../testing/decode-source-tensor';
import { temporaryFolder } from '../../testing/temporary';
import { gatherSlowly } from '../../testing/torch-read';
import { pickleTensor, type StridedTensor } from '../pickle/pickle-tensor';
import { strided, stridedConversion } from './strided';

test.each([
  ['one dimension', [9], [4]],
  ['a transposed matrix', [5, 7], [1, 5]],
  ['three dimensions permuted', [3, 4, 5], [1, 15, 3]],
  ['four dimensions, two of them swapped', [2, 3, 4, 5], [60, 20, 1, 4]],
  ['repeated rows', [2, 3, 4], [0, 1, 3]],
] as [string, number[], number[]][])('%s comes into order, whole and row by row', (_, shape, strides) => {
  const file = path.join(temporaryFolder(), 'pytorch_model.bin');
  const bytes = noise(2000, 5);
  writeFileSync(file, bytes);
  for (const dtype of ['BF16', 'F32', 'F64', 'I8'] as const) {
    const tensor = pickleTensor({ name: 'w', dtype, shape, strides, file, offset: 13 }) as StridedTensor;
    const dense = convertInMemory(stridedConversion(tensor), [strided]).get('dense')!;
    expect(Buffer.from(dense)).toEqual(gatherSlowly(tensor, bytes.subarray(13)));
  }
});
