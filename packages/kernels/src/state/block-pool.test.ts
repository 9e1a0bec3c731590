import { DisposedError, HostBuffer } from '@airllm/loader';
import { expect, it } from 'vitest';
import { StateFullError } from '../errors';
import { BlockPool, type PoolBlock } from './block-pool';

it('gives apart, aligned blocks and hands out again what came back', () => {
  using pool = new BlockPool({ slabBytes: 1000 });
  const blocks = Array.from({ length: 20 }, () => pool.allocate(100));
  blocks.forEach((block, n) => {
    expect(block.byteLength).toBe(128);
    expect(block.offset % 64).toBe(0);
    block.floats.fill(n);
  });
  blocks.forEach((block, n) => {
    expect(new Set(block.buffer.float32(block.offset, 32))).toEqual(new Set([n]));
  });
  expect(pool.usedBytes).toBe(20 * 128);
  for (const block of blocks) pool.free(block);
  expect(pool.usedBytes).toBe(0);
  const again = Array.from({ length: 20 }, () => pool.allocate(128));
  const place = (block: PoolBlock) => `${block.address} ${block.offset}`;
  expect(new Set(again.map(place))).toEqual(new Set(blocks.map(place)));
  expect(pool.touchedBytes).toBe(20 * 128);
});

it('names an address that is the block in its buffer', () => {
  using pool = new BlockPool();
  pool.allocate(64);
  const block = pool.allocate(64);
  expect(block.address).toBe(block.buffer.native ? block.buffer.address + 64n : 0n);
});

it('says what was needed when the limit is reached', () => {
  using pool = new BlockPool({ limitBytes: 300, slabBytes: 64 });
  for (let n = 0; n < 4; n++) pool.allocate(64);
  try {
    pool.allocate(64);
    expect.unreachable();
  } catch (error) {
    if (!StateFullError.isInstance(error)) throw error;
    expect(error).toMatchObject({ needed: 64, used: 256, limit: 300 });
  }
});

it('fills its limit exactly with blocks of several sizes', () => {
  using pool = new BlockPool({ limitBytes: 640 });
  const small = [pool.allocate(64), pool.allocate(64)];
  pool.allocate(512);
  expect(() => pool.allocate(64)).toThrow(expect.toSatisfy(StateFullError.isInstance));
  for (const block of small) pool.free(block);
  expect(pool.allocate(128).byteLength).toBe(128);
});

it('gives whole slabs back to the system', () => {
  const before = HostBuffer.total();
  const pool = new BlockPool({ slabBytes: 256 });
  const blocks = Array.from({ length: 8 }, () => pool.allocate(64));
  for (const block of blocks.slice(1)) pool.free(block);
  const held = HostBuffer.total();
  pool.trim();
  expect(HostBuffer.total()).toBeLessThan(held);
  expect(pool.touchedBytes).toBe(256);
  pool.dispose();
  pool.dispose();
  expect(HostBuffer.total()).toBe(before);
  expect(() => pool.allocate(64)).toThrow(expect.toSatisfy(DisposedError.isInstance));
});
