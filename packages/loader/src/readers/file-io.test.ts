import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { foreignAvailable } from '../foreign';
import { HostBuffer } from '../host-buffer';
import { patternBytes, temporaryFolder } from '../testing/folder';
import { IoFailure, readFile, retried, viewReader } from './file-io';

const dir = temporaryFolder();
const content = patternBytes(10_000);
const file = join(dir, 'file');
writeFileSync(file, content);
const fd = openSync(file, 'r');
const buffer = HostBuffer.allocate(16_384);
afterAll(() => {
  closeSync(fd);
  buffer.dispose();
});

const plain = { op: 'read', fd, direct: false, dropCache: true } as const;

function failure(run: () => unknown): IoFailure {
  try {
    run();
  } catch (error) {
    return error as IoFailure;
  }
  throw new Error('nothing was thrown');
}

describe.skipIf(!foreignAvailable())('into native memory', () => {
  test('reads what is asked for', () => {
    const target = { address: buffer.address + 5n };
    expect(readFile({ ...plain, offset: 77, length: 100, needed: 100, target })).toEqual({ bytes: 100, cached: false });
    expect(buffer.bytes(5, 100)).toEqual(content.subarray(77, 177));
  });

  test('the end of the file before the last byte is a failure that tells what was found', () => {
    const target = { address: buffer.address };
    const error = failure(() => readFile({ ...plain, offset: 9_900, length: 200, needed: 200, target }));
    expect([error.errno, error.found]).toEqual([undefined, 100]);
  });

  test.skipIf(process.platform !== 'linux')('an I/O error of the system keeps its name', () => {
    // The first pages of an address space are never mapped: reading them through /proc is a real EIO.
    const broken = openSync('/proc/self/mem', 'r');
    const target = { address: buffer.address };
    const error = failure(() => readFile({ ...plain, fd: broken, offset: 0, length: 10, needed: 10, target }));
    closeSync(broken);
    expect([error.errno, error.found]).toEqual(['EIO', 0]);
  });

  test.skipIf(process.platform !== 'linux')('direct I/O off its alignment fails, it does not deliver', () => {
    let direct: number;
    try {
      direct = openSync(file, constants.O_RDONLY | constants.O_DIRECT);
    } catch {
      return; // This drive does not know it at all.
    }
    const target = { address: buffer.address + 8n };
    const request = { ...plain, fd: direct, direct: true, offset: 1, length: 4096, needed: 4096, target };
    const outcome = failure(() => {
      readFile(request);
      throw new IoFailure('EINVAL', 'some drives take any alignment');
    });
    closeSync(direct);
    expect(outcome.errno).toBe('EINVAL');
  });
});

test("Node's own read fills native and shared memory alike", () => {
  const shared = new SharedArrayBuffer(200);
  expect(viewReader(fd, { buffer: shared, start: 50 }, 100)(10, 1000)).toBe(90);
  expect(new Uint8Array(shared, 60, 90)).toEqual(content.subarray(1000, 1090));
  if (!buffer.native) return;
  expect(viewReader(fd, { address: buffer.address + 1000n }, 100)(0, 1000)).toBe(100);
  expect(buffer.bytes(1000, 100)).toEqual(content.subarray(1000, 1100));
});

describe('retries', () => {
  const failing = (code: string, times: number) => {
    let calls = 0;
    return () => {
      if (calls++ < times) throw Object.assign(new Error(code), { code });
      return 7;
    };
  };

  test('after a signal, and while the drive is not ready', () => {
    expect(retried(0, failing('EINTR', 3))).toBe(7);
    expect(retried(0, failing('EAGAIN', 3))).toBe(7);
  });

  test('but nothing else, and not for ever', () => {
    expect(failure(() => retried(42, failing('EIO', 1)))).toMatchObject({ errno: 'EIO', found: 42 });
    expect(failure(() => retried(0, failing('EINTR', 1e9)))).toMatchObject({ errno: 'EINTR' });
  });
});
