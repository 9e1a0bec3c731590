import { execFileSync } from 'node:child_process';
import { appendFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ReadError } from '../errors';
import { foreignAvailable } from '../foreign';
import { HostBuffer } from '../host-buffer';
import type { MappedFile, Reader } from '../reader';
import { isMemory, patternBytes, temporaryFolder } from '../testing/folder';
import { openReader, type ReaderOptions } from './open-reader';

const dir = temporaryFolder();
const SIZE = 3 * 2 ** 20 + 1234;
const content = patternBytes(SIZE);

async function withReader(options: ReaderOptions, use: (reader: Reader) => Promise<void>): Promise<void> {
  const reader = await openReader(options);
  try {
    await use(reader);
  } finally {
    await reader.close();
  }
}

/** A file that was just written, so that the page cache has it. */
function written(name: string): string {
  const file = join(dir, name);
  writeFileSync(file, content);
  return file;
}

describe.skipIf(process.platform !== 'linux' || !foreignAvailable())('a file in the page cache', () => {
  test('is used where it lies, takes no memory of ours, and stays until the reader is closed', async (context) => {
    const file = written('whole.bin');
    const extent = { file, offset: 5001, length: SIZE - 6000 };
    let mapped: MappedFile | null | undefined;
    const before = HostBuffer.total();
    await withReader({}, async (reader) => {
      if ((await reader.kindOf(file)) !== 'direct') return context.skip('this drive has no direct I/O');
      mapped = await reader.mapCached!(extent);
      const { buffer } = mapped!;
      const bytes = () => buffer.bytes(extent.offset, extent.length);
      const expected = content.subarray(extent.offset, extent.offset + extent.length);
      expect(Buffer.compare(bytes(), expected)).toBe(0);
      mapped!.release(extent);
      expect(Buffer.compare(bytes(), expected)).toBe(0);
      expect(await reader.mapCached!({ file, offset: 0, length: 100 })).toBe(mapped);
      expect(HostBuffer.total()).toBe(before);
      expect(reader.stats.bytesRead).toBe(0);
    });
    expect(mapped!.buffer.disposed).toBe(true);
  });

  test('is noticed to have been cut or written to', async (context) => {
    const file = written('changed.bin');
    await withReader({}, async (reader) => {
      if ((await reader.kindOf(file)) !== 'direct') return context.skip('this drive has no direct I/O');
      const mapped = (await reader.mapCached!({ file, offset: 0, length: SIZE }))!;
      mapped.check();
      truncateSync(file, 1000);
      const error = (() => {
        try {
          mapped.check();
        } catch (thrown) {
          return thrown;
        }
        return undefined;
      })();
      expect(ReadError.isInstance(error), String(error)).toBe(true);
      expect(error).toMatchObject({ file, expected: SIZE, found: 1000 });
      appendFileSync(file, content.subarray(1000));
      expect(() => mapped.check()).toThrow();
    });
  });

  test('is not mapped where most of it is on the drive, where it ends too early, or by readers that leave the cache alone', async (context) => {
    const file = written('cold.bin');
    const extent = { file, offset: 0, length: SIZE };
    for (const options of [{ useCache: false }, { kind: 'direct' }, { kind: 'plain' }] as const) {
      const refused = await openReader(options);
      expect(await refused.mapCached!(extent).catch(ReadError.isInstance)).toSatisfy((r) => r === null || r === true);
      await refused.close();
    }
    if (isMemory(dir)) return context.skip('nothing can be dropped from memory');
    execFileSync('sync', [file]);
    // A plain reader drops what it has read.
    using buffer = HostBuffer.allocate(SIZE);
    await withReader({ kind: 'plain' }, async (reader) => void (await reader.read(extent, buffer, 0)));
    await withReader({}, async (reader) => {
      expect(await reader.mapCached!(extent)).toBeNull();
      expect(await reader.mapCached!({ file, offset: SIZE - 10, length: 11 })).toBeNull();
    });
  });
});
