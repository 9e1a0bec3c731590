import { type Extent, HostBuffer, type MappedFile, ReadError } from '@airllm/loader';
import { afterAll, expect, test } from 'vitest';
import type { Segment } from '../plan/types';
import { CachedWeights } from './cached-weights';

const buffer = HostBuffer.allocate(4096);
afterAll(() => buffer.dispose());

/** A file as the page cache may have it. */
class File implements MappedFile {
  readonly file: string;
  readonly buffer = buffer;
  readonly released: Extent[] = [];
  cut = false;

  constructor(file: string) {
    this.file = file;
  }

  check(): void {
    if (this.cut) throw new ReadError({ file: this.file, offset: 0, expected: 2, found: 1 });
  }

  release(extent: Extent): void {
    this.released.push(extent);
  }
}

/** A segment of two weights, each in a file of its own. */
function segmentOf(index: number, files: readonly File[]): Segment {
  const weights = files.map(({ file }, weight) => ({ weight, extent: { file, offset: 100 * index, length: 50 } }));
  return { index, block: 0, part: { from: index, to: index + 1 }, weights, bytes: 100 };
}

function setUp(copy: (segment: Segment) => Promise<void> = async () => {}, firstPauseMs = 0) {
  const files = [new File('a'), new File('b')];
  const there = new Map(files.map((file) => [file.file, file]));
  const segments = [0, 1, 2].map((index) => segmentOf(index, files));
  const mapCached = async ({ file }: Extent) => there.get(file) ?? null;
  return { files, there, segments, cached: new CachedWeights({ mapCached, copy, firstPauseMs }) };
}

/** What the next pass would meet. */
function problemOf(cached: CachedWeights): unknown {
  try {
    cached.check();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('gives weights where their files are mapped, or none of a segment', async () => {
  const { cached, segments, there } = setUp();
  expect(await cached.find(segments[2]!)).toEqual([
    { weight: 0, buffer, offset: 200 },
    { weight: 1, buffer, offset: 200 },
  ]);
  there.delete('b');
  expect(await cached.find(segments[1]!)).toBeNull();
});

test('copies one after the other and leaves the files', async () => {
  const copied: number[] = [];
  const { cached, segments, files } = setUp(async ({ index }) => void copied.push(index));
  for (const segment of segments) await cached.find(segment);
  await expect.poll(() => files[1]!.released.map(({ offset }) => offset)).toEqual([0, 100, 200]);
  expect(copied).toEqual([0, 1, 2]);
  expect(files[0]!.released).toEqual(segments.map(({ weights }) => weights[0]!.extent));
  // What happens to them is nobody's concern any more.
  files[0]!.cut = true;
  cached.check();
  // What is found later is copied later.
  files[0]!.cut = false;
  await cached.find(segments[1]!);
  await expect.poll(() => copied).toEqual([0, 1, 2, 1]);
});

test('what is found is left alone for a while', async () => {
  const copied: number[] = [];
  const { cached, segments } = setUp(async ({ index }) => void copied.push(index), 60_000);
  await cached.find(segments[0]!);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(copied).toEqual([]);
  cached.end();
});

test('a file that changes before it was copied ends every pass', async () => {
  const { cached, segments, files } = setUp(undefined, 60_000);
  await cached.find(segments[0]!);
  cached.check();
  files[1]!.cut = true;
  expect(() => cached.check()).toThrow(ReadError);
  expect(cached.takeFailed()).toEqual([]);
  expect(() => cached.check()).toThrow(ReadError);
  cached.end();
});

test('what was copied from a file that changed meanwhile is not taken for what was found', async () => {
  const { cached, segments, files } = setUp(async () => {
    files[0]!.cut = true;
  });
  await cached.find(segments[0]!);
  await expect.poll(() => problemOf(cached)).toSatisfy(ReadError.isInstance);
  expect(files[0]!.released).toEqual([]);
});

test('what cannot be copied ends the next pass, and is then to be read', async () => {
  const broken = new Error('the drive is gone');
  const { cached, segments } = setUp(async ({ index }) => {
    if (index === 1) throw broken;
  });
  for (const segment of segments) await cached.find(segment);
  await expect.poll(() => problemOf(cached)).toBe(broken);
  expect(cached.takeFailed()).toEqual(segments.slice(1));
  cached.check();
  expect(await cached.find(segments[1]!)).toBeNull();
});

test('copies nothing more once it has been ended', async () => {
  const copied: number[] = [];
  const { cached, segments } = setUp(async ({ index }) => void copied.push(index));
  await cached.find(segments[0]!);
  cached.end();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(copied).toEqual([]);
});
