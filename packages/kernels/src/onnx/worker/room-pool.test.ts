import { expect, test } from 'vitest';
import { RoomPool } from './room-pool';

test('memory that was given back is used again, the smallest that is large enough', () => {
  const pool = new RoomPool();
  const [large, small] = [pool.room(100), pool.room(10)];
  pool.give(large);
  pool.give(small);
  expect(pool.room(8)).toBe(small);
  expect(pool.room(8)).toBe(large);
  expect(pool.room(8).byteLength).toBe(8);
});

test('a piece that is too small gives way to one that is not', () => {
  const pool = new RoomPool();
  const sizes = [10, 20, 30, 40];
  for (const size of sizes) pool.give(pool.room(size));
  expect(pool.room(1).byteLength).toBe(40);
  expect(pool.room(1).byteLength).toBe(1);
});

test('knows its own', () => {
  const pool = new RoomPool();
  expect(pool.has(pool.room(4))).toBe(true);
  expect(pool.has(new ArrayBuffer(4))).toBe(false);
});
