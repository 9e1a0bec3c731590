import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { HostBuffer, openReader, ReadError, type Reader } from '@airllm/loader';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { WeightExtent } from '../plan/types';
import { temporaryFolder } from '../testing/temporary';
import { copyWeights } from './copy-weights';
import { readWeights } from './read-weights';

const BLOCK = 4096;
const SIZE = 20 * BLOCK + 123;

async function fileAndReader(kind: 'direct' | 'plain') {
  const file = path.join(temporaryFolder(), 'weights');
  const bytes = Buffer.from(Array.from({ length: SIZE }, (_, i) => (i * 31 + (i >> 8)) % 251));
  writeFileSync(file, bytes);
  return { file, bytes, reader: await openReader({ kind: kind === 'direct' ? 'auto' : 'plain' }) };
}

test.each(['direct', 'plain'] as const)('puts every byte where a %s read would', async (kind) => {
  const { file, bytes, reader } = await fileAndReader(kind);
  const extent = fc.integer({ min: 0, max: SIZE - 1 }).chain((offset) => {
    return fc.integer({ min: 0, max: SIZE - offset }).map((length) => ({ file, offset, length }));
  });
  const buffers = [0, 1].map(() => HostBuffer.allocate(100 * BLOCK));
  await fc.assert(
    fc.asyncProperty(
      fc.array(extent, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      async (extents, atOnce, blocks) => {
        const weights: WeightExtent[] = extents.map((each, weight) => ({ weight, extent: each }));
        const options = { goesOn: () => {}, atOnce, pieceBytes: blocks * BLOCK };
        const copied = await copyWeights(reader, weights, buffers[0]!, BLOCK, options);
        const read = await readWeights(reader, weights, buffers[1]!, BLOCK);
        expect(copied.map(({ offset }) => offset)).toEqual(read.map(({ offset }) => offset));
        for (const [i, { offset, length }] of extents.entries()) {
          const found = buffers[0]!.bytes(copied[i]!.offset, length);
          expect(Buffer.compare(found, bytes.subarray(offset, offset + length))).toBe(0);
        }
      },
    ),
    { numRuns: 20 },
  );
  for (const buffer of buffers) buffer.dispose();
  await reader.close();
});

test('ends where told to or where a read fails, when nothing writes any more', async () => {
  const { file, reader } = await fileAndReader('plain');
  const buffer = HostBuffer.allocate(32 * BLOCK);
  let running = 0;
  const reads: number[] = [];
  const counting: Pick<Reader, 'alignment' | 'span' | 'read'> = {
    alignment: 1,
    span: ({ length }) => length,
    read: async (extent, into, at) => {
      running++;
      reads.push(extent.offset);
      return reader.read(extent, into, at).finally(() => running--);
    },
  };
  const copy = (length: number, goesOn: () => void) =>
    copyWeights(counting as Reader, [{ weight: 0, extent: { file, offset: 0, length } }], buffer, 0, {
      goesOn,
      atOnce: 2,
      pieceBytes: BLOCK,
    });
  const ended = new Error('ended');
  const stop = () => {
    if (reads.length >= 5) throw ended;
  };
  await expect(copy(SIZE, stop)).rejects.toBe(ended);
  expect(running).toBe(0);
  expect(reads).toHaveLength(5);
  await expect(copy(30 * BLOCK, () => {})).rejects.toThrow(ReadError);
  expect(running).toBe(0);
  expect(reads.length).toBeLessThan(35);
  buffer.dispose();
  await reader.close();
});
