import { execFileSync } from 'node:child_process';
import { appendFileSync, closeSync, openSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DisposedError, OptionError, ReadError } from './errors';
import { foreignAvailable } from './foreign';
import { HostBuffer } from './host-buffer';
import type { Reader } from './reader';
import { openReader, type ReaderOptions } from './readers/open-reader';
import { isMemory, patternBytes, temporaryFolder } from './testing/folder';
import { dist, runNode } from './testing/run-node';

const dir = temporaryFolder();
/** Not a multiple of the block, so that the tail is an odd one. */
const SIZE = 3 * 2 ** 20 + 1234;
const content = patternBytes(SIZE);
const file = join(dir, 'weights.bin');
writeFileSync(file, content);

const native = foreignAvailable();
const kinds: ReaderOptions[] = [{ kind: 'auto' }, { kind: 'auto', useCache: false }, { kind: 'plain' }];
if (native) kinds.push({ kind: 'mmap' });

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Of the event loop: reads get their requests from there, two at a time. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What Node's own read says of a file that cannot be read, or undefined. */
function errnoOf(path: string): string | undefined {
  try {
    readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? undefined : code;
  }
  return undefined;
}

async function withReader(options: ReaderOptions, use: (reader: Reader) => Promise<void>): Promise<void> {
  const reader = await openReader(options);
  try {
    await use(reader);
  } finally {
    await reader.close();
  }
}

describe.each(kinds)('a reader of %o', (options) => {
  test('brings any extent, to any place it can, through any number of requests', async () => {
    const buffer = HostBuffer.allocate(SIZE + 3 * 4096);
    await withReader({ ...options, requestBytes: 64 * 1024 }, async (reader) => {
      const extents = fc.tuple(fc.nat(SIZE), fc.oneof(fc.nat(9000), fc.nat(SIZE))).map(([offset, length]) => ({
        file,
        offset,
        length: Math.min(length, SIZE - offset),
      }));
      const property = fc.asyncProperty(extents, fc.nat(1), async (extent, page) => {
        const at = page * 4096;
        const first = await reader.read(extent, buffer, at);
        expect(first).toBeGreaterThanOrEqual(at);
        expect(first + extent.length).toBeLessThanOrEqual(at + reader.span(extent));
        const expected = content.subarray(extent.offset, extent.offset + extent.length);
        expect(Buffer.compare(buffer.bytes(first, extent.length), expected)).toBe(0);
      });
      await fc.assert(property, { numRuns: 60, examples: [[{ file, offset: SIZE - 1, length: 1 }, 0]] });
    });
    buffer.dispose();
  });

  test('many reads in flight do not disturb each other', async () => {
    await withReader({ ...options, requestBytes: 4096 }, async (reader) => {
      const buffer = HostBuffer.allocate(64 * 16_384);
      const reads = Array.from({ length: 64 }, (_, i) => {
        const extent = { file, offset: i * 40_000 + i, length: 8000 };
        return reader.read(extent, buffer, i * 16_384).then((first) => ({ first, extent }));
      });
      for (const { first, extent } of await Promise.all(reads)) {
        const expected = content.subarray(extent.offset, extent.offset + extent.length);
        expect(Buffer.compare(buffer.bytes(first, extent.length), expected)).toBe(0);
      }
      expect(reader.stats.requests).toBeGreaterThanOrEqual(64 * 2);
      expect(reader.stats.bytesRead).toBeGreaterThanOrEqual(64 * 8000);
      expect(reader.stats.busyMs).toBeGreaterThan(0);
      buffer.dispose();
    });
  });

  test('a file that ends too early is an error with the facts, also when it is cut while open', async () => {
    const cut = join(dir, `cut-${options.kind}-${options.useCache}.bin`);
    writeFileSync(cut, content.subarray(0, 100_000));
    const buffer = HostBuffer.allocate(200_000);
    await withReader(options, async (reader) => {
      const beyond = await rejection(reader.read({ file: cut, offset: 90_000, length: 20_000 }, buffer, 0));
      expect(ReadError.isInstance(beyond)).toBe(true);
      expect(beyond).toMatchObject({ file: cut, offset: 90_000, expected: 20_000, found: 10_000, errno: undefined });
      await reader.read({ file: cut, offset: 0, length: 50_000 }, buffer, 0);
      truncateSync(cut, 40_000);
      const late = await rejection(reader.read({ file: cut, offset: 30_000, length: 60_000 }, buffer, 0));
      expect(ReadError.isInstance(late), String(late)).toBe(true);
      expect((late as ReadError).found).toBeLessThan((late as ReadError).expected);
      // The file is looked at anew afterwards.
      appendFileSync(cut, content.subarray(40_000, 100_000));
      const first = await reader.read({ file: cut, offset: 30_000, length: 60_000 }, buffer, 0);
      expect(Buffer.compare(buffer.bytes(first, 60_000), content.subarray(30_000, 90_000))).toBe(0);
    });
    buffer.dispose();
  });

  // sysfs gives every file a size of 4096 and then delivers what there is: real cases of both.
  const unreadable = '/sys/class/net/lo/speed';
  const errno = errnoOf(unreadable);
  const shorter = '/sys/class/net/lo/mtu';
  test.skipIf(errno === undefined || options.kind === 'mmap')(
    'an error of the drive, and less than promised',
    async () => {
      const buffer = HostBuffer.allocate(8192);
      buffer.bytes().fill(1);
      await withReader(options, async (reader) => {
        const broken = await rejection(reader.read({ file: unreadable, offset: 0, length: 100 }, buffer, 0));
        expect(ReadError.isInstance(broken), String(broken)).toBe(true);
        expect(broken).toMatchObject({ file: unreadable, offset: 0, expected: 100, found: 0, errno });
        const short = await rejection(reader.read({ file: shorter, offset: 0, length: 100 }, buffer, 0));
        expect(ReadError.isInstance(short), String(short)).toBe(true);
        const { found } = short as ReadError;
        expect([found, (short as ReadError).errno]).toEqual([readFileSync(shorter).length, undefined]);
        expect(buffer.bytes(found, 100)).toEqual(new Uint8Array(100).fill(1));
      });
      buffer.dispose();
    },
  );

  test('a missing file is an error, and nothing is held afterwards', async () => {
    const before = HostBuffer.total();
    const buffer = HostBuffer.allocate(8192);
    await withReader(options, async (reader) => {
      const error = await rejection(reader.read({ file: join(dir, 'absent'), offset: 0, length: 1 }, buffer, 0));
      expect(error).toMatchObject({ code: 'ERR_READ', errno: 'ENOENT' });
      buffer.dispose();
    });
    expect(HostBuffer.total()).toBe(before);
  });

  test('abort rejects with the reason once no thread writes any more', async () => {
    const buffer = HostBuffer.allocate(SIZE + 4096);
    await withReader({ ...options, threads: 1, requestBytes: 4096 }, async (reader) => {
      await reader.read({ file, offset: 0, length: 10 }, buffer, 0);
      const controller = new AbortController();
      const reason = new Error('enough');
      const before = reader.stats.requests;
      const read = rejection(reader.read({ file, offset: 0, length: SIZE }, buffer, 0, { signal: controller.signal }));
      buffer.dispose();
      while (reader.stats.requests === before) await turn();
      controller.abort(reason);
      expect(await read).toBe(reason);
      // The lease is gone with the read: the memory has been given back.
      expect(() => buffer.leasedAddress).toThrow(DisposedError);
      expect(reader.stats.requests).toBeLessThan(SIZE / 4096);
      const other = HostBuffer.allocate(8192);
      const extent = { file, offset: 0, length: 10 };
      expect(await rejection(reader.read(extent, other, 0, { signal: AbortSignal.abort(reason) }))).toBe(reason);
      await reader.read(extent, other, 0);
      other.dispose();
    });
  });

  test.each(['cold', 'warm'])('close lets running requests end, rejects the rest, and is final (%s)', async (start) => {
    const reader = await openReader({ ...options, threads: 1, requestBytes: 4096 });
    const buffer = HostBuffer.allocate(SIZE + 4096);
    if (start === 'warm') await reader.read({ file, offset: 0, length: 10 }, buffer, 0);
    const before = reader.stats.requests;
    const read = rejection(reader.read({ file, offset: 0, length: SIZE }, buffer, 0));
    while (start === 'warm' && reader.stats.requests === before) await turn();
    await Promise.all([reader.close(), reader.close()]);
    expect(DisposedError.isInstance(await read)).toBe(true);
    const after = await rejection(reader.read({ file, offset: 0, length: 1 }, buffer, 0));
    expect(DisposedError.isInstance(after)).toBe(true);
    buffer.dispose();
  });

  test('what cannot be read is refused before anything is', async () => {
    const buffer = HostBuffer.allocate(100);
    await withReader(options, async (reader) => {
      for (const [offset, length, at] of [
        [-1, 1, 0],
        [0, -1, 0],
        [0, 1.5, 0],
        [0, 1, Number.NaN],
        [0, SIZE, 0],
        [0, 1, 4096],
      ] as const) {
        const error = await rejection(reader.read({ file, offset, length }, buffer, at));
        expect(OptionError.isInstance(error), `${offset} ${length} ${at}: ${error}`).toBe(true);
      }
      expect(await reader.read({ file, offset: SIZE, length: 0 }, buffer, 0)).toBe(0);
    });
    buffer.dispose();
  });
});

describe.skipIf(process.platform !== 'linux' || !native)('direct I/O', () => {
  test('reads whole blocks around the extent', async () => {
    await withReader({ kind: 'auto' }, async (reader) => {
      expect(reader.kind).toBe('direct');
      expect(reader.span({ file, offset: 4095, length: 2 })).toBe(8192);
      expect(reader.span({ file, offset: 4096, length: 4096 })).toBe(4096);
      const buffer = HostBuffer.allocate(8192);
      expect(await reader.read({ file, offset: 4095, length: 2 }, buffer, 0)).toBe(4095);
      const error = await rejection(reader.read({ file, offset: 0, length: 1 }, buffer, 1));
      expect(OptionError.isInstance(error)).toBe(true);
      buffer.dispose();
    });
  });

  test('memory that direct I/O refuses is read plainly instead', async () => {
    await withReader({ kind: 'auto' }, async (reader) => {
      const buffer = HostBuffer.allocate(3 * 4096);
      // A real EINVAL from the drive, which the probe of an aligned block cannot foresee.
      const askew = new Proxy(buffer, {
        get: (target, key) => {
          if (key === 'leasedAddress') return target.leasedAddress + 8n;
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      const first = await reader.read({ file, offset: 100, length: 4096 }, askew, 0);
      expect(first).toBe(100);
      expect(Buffer.compare(buffer.bytes(first + 8, 4096), content.subarray(100, 4196))).toBe(0);
      buffer.dispose();
    });
  });

  const memory = temporaryFolder(process.platform === 'linux' ? '/dev/shm' : undefined);
  test('tmpfs, where many kernels know none, works in any case', async () => {
    const copy = join(memory, 'weights.bin');
    writeFileSync(copy, content);
    await withReader({ kind: 'auto' }, async (reader) => {
      const buffer = HostBuffer.allocate(SIZE + 8192);
      const first = await reader.read({ file: copy, offset: 5000, length: SIZE - 5000 }, buffer, 0);
      expect(Buffer.compare(buffer.bytes(first, SIZE - 5000), content.subarray(5000))).toBe(0);
      expect(['direct', 'plain']).toContain(await reader.kindOf(copy));
      buffer.dispose();
    });
  });
});

test('options that make no sense are refused', async () => {
  for (const options of [{ threads: 0 }, { threads: 65 }, { requestBytes: 0 }, { kind: 'fast' as 'plain' }]) {
    expect(OptionError.isInstance(await rejection(openReader(options)))).toBe(true);
  }
});

test('more files than a process may hold open', async () => {
  const small = HostBuffer.allocate(8192);
  await withReader({ threads: 2 }, async (reader) => {
    for (let i = 0; i < 300; i++) {
      const path = join(dir, `shard-${i}`);
      writeFileSync(path, `shard ${i}`);
      const first = await reader.read({ file: path, offset: 6, length: `${i}`.length }, small, 0);
      expect(Buffer.from(small.bytes(first, `${i}`.length)).toString()).toBe(`${i}`);
    }
  });
  small.dispose();
});

// Whoever uses the library shares libuv's few threads for fs and dns: reads neither wait for them nor keep them.
test.skipIf(process.platform === 'win32')('reads go on while not a thread of libuv’s pool is free', async () => {
  const fifo = join(dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  using buffer = HostBuffer.allocate(SIZE + 8192);
  await withReader({}, async (reader) => {
    await reader.read({ file, offset: 0, length: 10 }, buffer, 0);
    // Each keeps a thread until there is somebody to write.
    const poolThreads = Number(process.env.UV_THREADPOOL_SIZE) || 4;
    const opening = Array.from({ length: poolThreads }, () => open(fifo));
    let isAnswered = false;
    const answer = stat(file).then(() => {
      isAnswered = true;
    });
    try {
      const first = await reader.read({ file, offset: 0, length: SIZE }, buffer, 0);
      expect(Buffer.compare(buffer.bytes(first, SIZE), content)).toBe(0);
      expect(isAnswered).toBe(false);
    } finally {
      const writer = openSync(fifo, 'r+');
      await Promise.all(opening.map(async (handle) => (await handle).close()));
      closeSync(writer);
      await answer;
    }
  });
});

/** A folder on another drive than the temporary one, where there is such. */
const otherDrive = (() => {
  try {
    return statSync('/dev/shm').dev === statSync(dir).dev ? undefined : '/dev/shm';
  } catch {
    return undefined;
  }
})();
const elsewhere = otherDrive === undefined ? undefined : temporaryFolder(otherDrive);

test.skipIf(elsewhere === undefined)('a drive with much to do keeps another one’s reads from nothing', async () => {
  const other = join(elsewhere!, 'other.bin');
  writeFileSync(other, content);
  using buffer = HostBuffer.allocate(2 * SIZE + 8192);
  await withReader({ threads: 1, requestBytes: 4096 }, async (reader) => {
    await reader.kindOf(other);
    await reader.read({ file: other, offset: 0, length: 100 }, buffer, 0);
    const order: string[] = [];
    const busy = reader.read({ file, offset: 0, length: SIZE }, buffer, 0).then(() => order.push('busy'));
    const at = Math.ceil(SIZE / 4096 + 1) * 4096;
    const quick = reader.read({ file: other, offset: 0, length: 100_000 }, buffer, at).then(() => order.push('quick'));
    await Promise.all([busy, quick]);
    // 25 requests behind 768 would come last.
    expect(order).toEqual(['quick', 'busy']);
    expect(Buffer.compare(buffer.bytes(at, 100_000), content.subarray(0, 100_000))).toBe(0);
  });
});

describe.skipIf(process.platform !== 'linux' || !native)('the page cache', () => {
  const cached = join(dir, 'cached.bin');
  const extent = { file: cached, offset: 5000, length: SIZE - 6000 };
  const cachedBytes = async (options: ReaderOptions): Promise<number | null> => {
    using buffer = HostBuffer.allocate(SIZE + 8192);
    let found: number | null = null;
    await withReader(options, async (reader) => {
      const first = await reader.read(extent, buffer, 0);
      expect(Buffer.compare(buffer.bytes(first, extent.length), content.subarray(5000, SIZE - 1000))).toBe(0);
      if ((await reader.kindOf(cached)) === 'direct') found = reader.stats.bytesCached;
    });
    return found;
  };

  test('gives what it holds already, and is given nothing', async (context) => {
    writeFileSync(cached, content);
    const warm = await cachedBytes({ kind: 'auto' });
    if (warm === null) return context.skip('this drive has no direct I/O');
    expect(warm).toBeGreaterThanOrEqual(extent.length);
    expect(await cachedBytes({ kind: 'auto', useCache: false })).toBe(0);
    expect(await cachedBytes({ kind: 'direct' })).toBe(0);
    if (isMemory(dir)) return context.skip('nothing can be dropped from memory');
    // A plain reader drops what it has read.
    execFileSync('sync', [cached]);
    await cachedBytes({ kind: 'plain' });
    expect(await cachedBytes({ kind: 'auto' })).toBe(0);
    expect(await cachedBytes({ kind: 'auto' })).toBe(0);
  });
});

describe('the process', () => {
  const setup = `import { HostBuffer, openReader } from ${JSON.stringify(new URL(`file://${encodeURI(dist).replaceAll('#', '%23')}index.js`).href)};
    const file = ${JSON.stringify(file)};
    const buffer = HostBuffer.allocate(${SIZE + 8192});
    const reader = await openReader({ requestBytes: 4096 });`;

  test('ends although a reader is open and idle', async () => {
    const run = await runNode(`${setup} await reader.read({ file, offset: 0, length: 5000 }, buffer, 0);
      console.log('read');`);
    expect(run).toMatchObject({ code: 0, stdout: 'read\n', timedOut: false });
  });

  test('hears no warning of a leak when one signal governs many reads', async () => {
    const run = await runNode(`${setup} const { signal } = new AbortController();
      const extent = { file, offset: 0, length: 10 };
      const read = (_, i) => reader.read(extent, buffer, i * 4096, { signal });
      await Promise.all(Array.from({ length: 50 }, read)); await Promise.all(Array.from({ length: 50 }, read));
      console.log((await import('node:events')).getEventListeners(signal, 'abort').length);`);
    expect(run).toMatchObject({ code: 0, stdout: '0\n', stderr: '' });
  });

  test('waits for a read under way', async () => {
    const run = await runNode(`${setup} reader.read({ file, offset: 0, length: ${SIZE} }, buffer, 0)
      .then(() => console.log('done'));`);
    expect(run).toMatchObject({ code: 0, stdout: 'done\n', timedOut: false });
  });
});
