import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 as zlibCrc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { canMount } from '../../../../.ci/mount';
import { crc32, portableCrc32 } from '../crc32';
import { DisposedError, OptionError, ReadError, WriteError } from '../errors';
import { HostBuffer } from '../host-buffer';
import { patternBytes, temporaryFolder } from '../testing/folder';
import { ScratchFile } from './scratch-file';

const dir = temporaryFolder();
const UNIT = 8192;

test('both ways to a checksum are zlib’s', () => {
  const bytes = patternBytes(1003);
  for (const part of [bytes, bytes.subarray(5, 700), bytes.subarray(0, 3), new Uint8Array()]) {
    expect(portableCrc32(part, 77)).toBe(crc32(part, 77));
    expect(portableCrc32(part)).toBe(zlibCrc32(part));
  }
});

test('gives back what was written, with the checksums it was written with, and leaves nothing', async () => {
  const file = await ScratchFile.create(dir, { label: 'test', requestBytes: 2 * UNIT });
  const bytes = patternBytes(5 * UNIT);
  using from = HostBuffer.allocate(8 * UNIT);
  using into = HostBuffer.allocate(8 * UNIT);
  from.bytes(UNIT, bytes.length).set(bytes);
  const written = await file.write({ offset: 3 * UNIT, length: 5 * UNIT, at: UNIT }, from, UNIT);
  expect([...written]).toEqual(
    Array.from({ length: 5 }, (_, i) => zlibCrc32(bytes.subarray(i * UNIT, (i + 1) * UNIT))),
  );
  const read = await file.read({ offset: 4 * UNIT, length: 3 * UNIT, at: 2 * UNIT }, into, UNIT);
  expect(read).toEqual(written.slice(1, 4));
  expect(into.bytes(2 * UNIT, 3 * UNIT)).toEqual(bytes.subarray(UNIT, 4 * UNIT));
  expect(file.stats).toEqual({ bytesRead: 3 * UNIT, bytesWritten: 5 * UNIT });
  // Never written: a hole reads as zeros, behind the end is nothing.
  await file.read({ offset: UNIT, length: UNIT, at: 0 }, into, UNIT);
  expect(into.bytes(0, UNIT).every((byte) => byte === 0)).toBe(true);
  await file.truncate(4 * UNIT);
  await expect(file.read({ offset: 4 * UNIT, length: UNIT, at: 0 }, into, UNIT)).rejects.toSatisfy(
    ReadError.isInstance,
  );
  await file.close();
  await file.close();
  expect(readdirSync(dir).filter((name) => name.includes('test-'))).toEqual([]);
  await expect(file.read({ offset: 0, length: UNIT, at: 0 }, into, UNIT)).rejects.toSatisfy(DisposedError.isInstance);
});

test('refuses what direct I/O could not do', async () => {
  const file = await ScratchFile.create(dir, { label: 'test' });
  using buffer = HostBuffer.allocate(2 * UNIT);
  for (const [run, each] of [
    [{ offset: 1, length: UNIT, at: 0 }, UNIT],
    [{ offset: 0, length: UNIT, at: 0 }, UNIT / 4],
    [{ offset: 0, length: UNIT, at: 0 }, 2 * UNIT],
    [{ offset: 0, length: 3 * UNIT, at: 0 }, UNIT],
  ] as const) {
    await expect(file.write(run, buffer, each)).rejects.toSatisfy(OptionError.isInstance);
  }
  await file.close();
});

test('sweeps up after the dead, and not after the living', async () => {
  const dead = Number(execFileSync(process.execPath, ['-p', 'process.pid']).toString());
  writeFileSync(join(dir, `sweep-${dead}-abc.scratch`), '');
  writeFileSync(join(dir, `sweep-${process.pid}-abc.scratch`), '');
  writeFileSync(join(dir, `other-${dead}-abc.scratch`), '');
  await (await ScratchFile.create(dir, { label: 'sweep' })).close();
  const left = readdirSync(dir).filter((name) => name.endsWith('.scratch'));
  expect(left.sort()).toEqual([`other-${dead}-abc.scratch`, `sweep-${process.pid}-abc.scratch`]);
});

test('a folder that cannot be is a typed error', async () => {
  writeFileSync(join(dir, 'file'), '');
  await expect(ScratchFile.create(join(dir, 'file', 'below'), { label: 'test' })).rejects.toSatisfy(
    WriteError.isInstance,
  );
});

describe.skipIf(!canMount())('on a full drive', () => {
  test('writing is a typed error that says so', async () => {
    const mount = join(temporaryFolder(), 'small');
    execFileSync('mkdir', [mount]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', mount]);
    try {
      const file = await ScratchFile.create(mount, { label: 'test' });
      using buffer = HostBuffer.allocate(32 * UNIT);
      const run = { offset: 0, length: 32 * UNIT, at: 0 };
      await expect(file.write(run, buffer, UNIT)).rejects.toMatchObject({ errno: 'ENOSPC', file: file.path });
      await file.close();
    } finally {
      execFileSync('umount', [mount]);
    }
  });
});
