import os from 'node:os';
import { expect, test } from 'vitest';
import { DisposedError, OptionError } from './errors';
import { foreignAvailable } from './foreign';
import { HostBuffer } from './host-buffer';

test('memory is zeroed, page-aligned and counted', () => {
  const before = HostBuffer.total();
  const buffer = HostBuffer.allocate(10_000, { label: 'test' });
  expect(buffer.native).toBe(foreignAvailable());
  if (buffer.native) expect(buffer.address % 4096n).toBe(0n);
  expect(buffer.bytes().every((byte) => byte === 0)).toBe(true);
  expect(buffer.bytes()).toHaveLength(10_000);
  expect(HostBuffer.total() - before).toBeGreaterThanOrEqual(10_000);
  buffer.dispose();
  expect(HostBuffer.total()).toBe(before);
});

test('views share the memory', () => {
  const buffer = HostBuffer.allocate(4096);
  buffer.float32(8, 2)[1] = 1.5;
  expect([...buffer.bytes(12, 4)]).toEqual([...new Uint8Array(new Float32Array([1.5]).buffer)]);
  buffer.bytes()[12] = 1;
  expect(buffer.float32(12, 1)[0]).not.toBe(1.5);
  buffer.dispose();
});

test('a range outside the buffer, or off its alignment, is refused', () => {
  const buffer = HostBuffer.allocate(100);
  for (const [offset, length] of [
    [0, 101],
    [100, 1],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [Number.NaN, 1],
  ] as const) {
    expect(() => buffer.bytes(offset, length)).toThrow(RangeError);
  }
  expect(() => buffer.float32(2, 1)).toThrow(RangeError);
  expect(() => buffer.float32(0, 26)).toThrow(RangeError);
  expect(buffer.bytes(100, 0)).toHaveLength(0);
  buffer.dispose();
});

test('discarded pages are zeros, can be written again, and their neighbours stay as they are', () => {
  const buffer = HostBuffer.allocate(20_000);
  buffer.bytes().fill(7);
  buffer.discard(4096, 8192);
  expect(buffer.bytes(4096, 8192).every((byte) => byte === 0)).toBe(true);
  expect([...buffer.bytes(4090, 6), ...buffer.bytes(12_288, 6)].every((byte) => byte === 7)).toBe(true);
  buffer.bytes(4096, 8192).fill(9);
  expect(buffer.bytes(8191, 2)).toEqual(new Uint8Array([9, 9]));
  expect(() => buffer.discard(0, 20_001)).toThrow(RangeError);
  buffer.dispose();
  expect(() => buffer.discard(0, 4096)).toThrow(DisposedError);
});

test('use after dispose throws, disposing again does not', () => {
  const buffer = HostBuffer.allocate(100, { label: 'ring' });
  const stale = buffer.bytes();
  buffer.dispose();
  buffer.dispose();
  for (const use of [() => buffer.bytes(), () => buffer.float32(0, 1), () => buffer.address, () => buffer.lease()]) {
    expect(use).toThrow(DisposedError);
  }
  // A view cannot be revoked, but it must not crash the process.
  stale[0] = 1;
  expect(buffer.disposed).toBe(true);
});

test('dispose waits for the last lease', () => {
  const before = HostBuffer.total();
  const buffer = HostBuffer.allocate(100);
  const first = buffer.lease();
  const second = buffer.lease();
  const address = buffer.leasedAddress;
  buffer.dispose();
  expect(() => buffer.bytes()).toThrow(DisposedError);
  first.release();
  first.release();
  expect(buffer.leasedAddress).toBe(address);
  expect(HostBuffer.total()).toBeGreaterThan(before);
  second[Symbol.dispose]();
  expect(HostBuffer.total()).toBe(before);
  expect(() => buffer.leasedAddress).toThrow(DisposedError);
});

// Linux gives nobody more than there is, be it never touched.
const enough = os.totalmem() > 8 * 2 ** 30;

test.skipIf(!foreignAvailable() || !enough)('buffers beyond 4 GiB are viewed in pieces', () => {
  const buffer = HostBuffer.allocate(6 * 2 ** 30);
  const far = 5 * 2 ** 30 + 5;
  buffer.bytes(far, 3)[2] = 9;
  expect([...buffer.bytes(far + 1, 3)]).toEqual([0, 9, 0]);
  expect(() => buffer.bytes()).toThrow(RangeError);
  buffer.dispose();
});

test('memory comes back at once, while views are still around', () => {
  // 24 × 64 MiB touched one after the other, every view kept: 1.5 GiB if dispose() gave nothing back.
  const before = process.memoryUsage.rss();
  const views: Uint8Array[] = [];
  for (let i = 0; i < 24; i++) {
    const buffer = HostBuffer.allocate(64 * 2 ** 20);
    const view = buffer.bytes();
    for (let at = 0; at < view.length; at += 4096) view[at] = 1;
    views.push(view);
    buffer.dispose();
  }
  expect(views).toHaveLength(24);
  expect(process.memoryUsage.rss()).toBeLessThan(before + 2 ** 29);
});

test('a size that is none is refused', () => {
  for (const size of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => HostBuffer.allocate(size)).toThrow(OptionError);
  }
  const empty = HostBuffer.allocate(0);
  expect(empty.bytes()).toHaveLength(0);
  empty.dispose();
});

test('a buffer of another copy of the package is known by its marker', () => {
  const buffer = HostBuffer.allocate(1);
  expect(HostBuffer.isInstance(buffer)).toBe(true);
  expect(HostBuffer.isInstance({ bytes() {} })).toBe(false);
  buffer.dispose();
});
