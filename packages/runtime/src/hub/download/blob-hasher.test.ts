import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { patternContent } from '../../testing/hub-server';
import { RangeSet } from '../range-set';
import { BlobHasher } from './blob-hasher';
import { HeldBudget } from './held-budget';
import { SLAB_BYTES, SlabPool } from './slabs';
import { Slots } from './slots';

const SIZE = 12 * SLAB_BYTES + 5;
const content = patternContent(SIZE, 3);
const bytes = (from: number, to: number) => content.read(from, to) as Uint8Array;

function hasherWith(budget: number, handle: FileHandle) {
  const ranges = new RangeSet();
  const hasher = new BlobHasher({
    handle,
    file: 'model.safetensors',
    size: SIZE,
    etag: '0'.repeat(64),
    ranges,
    budget: new HeldBudget(budget),
    hashes: new Slots(1),
    resume: { hashed: 0, state: undefined },
    onHashed: () => {},
    signal: new AbortController().signal,
  });
  const slabs = new SlabPool(4);
  const write = (from: number) => {
    const to = Math.min(SIZE, from + SLAB_BYTES);
    const slab = slabs.take(from);
    slab.bytes.set(bytes(from, to));
    ranges.add(from, to);
    hasher.offer(from, to, slab);
    slab.release();
  };
  return { hasher, write };
}

const digest = createHash('sha256').update(bytes(0, SIZE)).digest('hex');

test('a network that waits when the hash is behind has nothing read back', async () => {
  const unread = { read: () => Promise.reject(new Error('read back')) } as unknown as FileHandle;
  const { hasher, write } = hasherWith(6 * SLAB_BYTES, unread);
  const done = hasher.run();
  let waits = 0;
  for (let at = 0; at < SIZE; at += SLAB_BYTES) {
    write(at);
    for (let wait = hasher.behind(); wait !== undefined; wait = hasher.behind()) {
      waits++;
      await wait;
    }
  }
  expect(await done).toBe(digest);
  expect(waits).toBeGreaterThan(0);
});

test('nobody waits for a hash that waits for bytes, and what was not held is read back', async () => {
  let readBack = 0;
  const file = {
    async read(into: Uint8Array, offset: number, length: number, at: number) {
      readBack += length;
      into.set(bytes(at, at + length), offset);
      return { bytesRead: length };
    },
  } as unknown as FileHandle;
  const { hasher, write } = hasherWith(6 * SLAB_BYTES, file);
  const done = hasher.run();
  await new Promise((resolve) => setImmediate(resolve));
  for (let at = SLAB_BYTES; at < SIZE; at += SLAB_BYTES) {
    write(at);
    expect(hasher.behind()).toBeUndefined();
  }
  expect(readBack).toBe(0);
  write(0);
  expect(await done).toBe(digest);
  expect(readBack).toBeGreaterThan(0);
});
