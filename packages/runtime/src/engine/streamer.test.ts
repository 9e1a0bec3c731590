import type { Extent, HostBuffer, Reader, ReaderKind } from '@airllm/loader';
import { expect, test } from 'vitest';
import type { Plan, Segment } from '../plan/types';
import { Streamer } from './streamer';

const SEGMENT = 64 * 2 ** 20;

/** A drive whose reads end when the test says so, and which refuses two reads into the same place. */
class ManualReader implements Reader {
  readonly kind = 'direct';
  readonly alignment = 1;
  readonly stats = { bytesRead: 0, bytesCached: 0, requests: 0, busyMs: 0 };
  readonly active: {
    readonly file: string;
    readonly into: HostBuffer;
    readonly at: number;
    readonly end: () => void;
  }[] = [];

  span(extent: Extent): number {
    return extent.length;
  }

  read(extent: Extent, into: HostBuffer, at: number): Promise<number> {
    const { file, length } = extent;
    const clash = this.active.find((other) => other.into === into && at < other.at + length && other.at < at + length);
    if (clash) throw new Error(`${file} would be read to ${at} while ${clash.file} is still being read to ${clash.at}`);
    return new Promise((resolve) => {
      const entry = {
        file,
        into,
        at,
        end: () => {
          this.active.splice(this.active.indexOf(entry), 1);
          resolve(at);
        },
      };
      this.active.push(entry);
    });
  }

  async kindOf(): Promise<ReaderKind> {
    return this.kind;
  }

  async close() {}
}

function planOf(count: number, ringSegments: number): Plan {
  const segments = Array.from({ length: count }, (_, index): Segment => {
    const extent = { file: `segment ${index}`, offset: 0, length: SEGMENT };
    return { index, block: 0, part: { from: index, to: index + 1 }, weights: [{ weight: 0, extent }], bytes: SEGMENT };
  });
  const bytes = {
    weights: count * SEGMENT,
    pinned: 0,
    ring: ringSegments * SEGMENT,
    experts: 0,
    state: 0,
    activations: 0,
    process: 0,
    staging: 0,
    draft: 0,
    total: ringSegments * SEGMENT,
  };
  return {
    segments,
    pinned: segments.map(() => false),
    maxRows: 1,
    logitRows: 1,
    passLogitRows: 1,
    bytes,
    expertSlots: { count: 0, bytes: 0 },
    streamedBytes: bytes.weights,
    diskState: null,
    floor: { memory: 0, weightsMemory: 0 },
    device: null,
  };
}

/** Lets everything that follows from what has happened happen. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('reads ahead through the ring, across the end of a pass, and never more than a cycle', async () => {
  const plan = planOf(3, 4);
  const reader = new ManualReader();
  const streamer = new Streamer(plan, reader);
  const order: string[] = [];
  for (let turn = 0; turn < 7; turn++) {
    const weights = streamer.acquire(plan.segments[turn % 3]!);
    await settled();
    const files = reader.active.map(({ file }) => file);
    expect(new Set(files).size).toBe(files.length);
    while (reader.active.length > 0) {
      order.push(reader.active[0]!.file);
      reader.active[0]!.end();
      await settled();
    }
    await weights;
    streamer.release();
  }
  expect(order.slice(0, 6)).toEqual(['segment 0', 'segment 1', 'segment 2', 'segment 0', 'segment 1', 'segment 2']);
  const disposal = streamer.dispose();
  for (const read of [...reader.active]) read.end();
  await disposal;
});

test('a restart waits for every read, and starts none meanwhile: places are never written twice at once', async () => {
  const plan = planOf(5, 4);
  const reader = new ManualReader();
  const streamer = new Streamer(plan, reader);
  // Two segments are as much as may be in flight, so a read that ends makes room for the next.
  const first = streamer.acquire(plan.segments[0]!);
  await settled();
  expect(reader.active.map(({ file }) => file)).toEqual(['segment 0', 'segment 1']);
  const restart = streamer.restart();
  while (reader.active.length > 0) {
    reader.active[0]!.end();
    await settled();
  }
  await restart;
  await first;
  for (const segment of plan.segments) {
    const weights = streamer.acquire(segment);
    await settled();
    while (reader.active.length > 0) {
      reader.active[0]!.end();
      await settled();
    }
    expect((await weights)[0]!.offset % SEGMENT).toBe(0);
    streamer.release();
  }
  const disposal = streamer.dispose();
  for (const read of [...reader.active]) read.end();
  await disposal;
});

/** Acquires the segments of a pass, ending every read at once, and returns which files were read. */
async function runPass(streamer: Streamer, reader: ManualReader, plan: Plan): Promise<string[]> {
  const files: string[] = [];
  const endAll = async () => {
    for (await settled(); reader.active.length > 0; await settled()) {
      files.push(reader.active[0]!.file);
      reader.active[0]!.end();
    }
  };
  streamer.begin(() => false);
  for (const segment of plan.segments) {
    const weights = streamer.acquire(segment);
    await endAll();
    expect((await weights).length).toBe(1);
    streamer.release();
  }
  await endAll();
  return files;
}

test.each([
  [8, 2],
  // A ring in which all that is not pinned finds room: looking ahead comes past what is to be lent.
  [5, 4],
])(
  'of %d segments, a ring of %d: lent memory is passed by, and filled again after it is reclaimed',
  async (count, ring) => {
    const base = planOf(count, ring);
    const plan = { ...base, pinned: base.segments.map(({ index }) => index % 2 === 1 || index === count - 1) };
    const reader = new ManualReader();
    const streamer = new Streamer(plan, reader);
    await runPass(streamer, reader, plan);
    const pinned = plan.segments
      .filter(({ index }) => plan.pinned[index])
      .map(({ weights }) => weights[0]!.extent.file);
    const lent = `segment ${count - 1}`;
    expect(await runPass(streamer, reader, plan)).not.toContain(lent);
    await streamer.lend(plan.pinned.map((kept, i) => kept && i !== count - 1));
    for (let pass = 0; pass < 2; pass++) {
      const files = await runPass(streamer, reader, plan);
      expect(new Set(files.filter((file) => pinned.includes(file)))).toEqual(new Set([lent]));
    }
    streamer.reclaim();
    await runPass(streamer, reader, plan);
    const after = await runPass(streamer, reader, plan);
    expect(after.filter((file) => pinned.includes(file))).toEqual([]);
    await streamer.dispose();
  },
);

test('a restart during which a read would go on ahead keeps it from going', async () => {
  const plan = planOf(5, 4);
  const reader = new ManualReader();
  const streamer = new Streamer(plan, reader);
  void streamer.acquire(plan.segments[0]!);
  await settled();
  const restart = streamer.restart();
  reader.active[0]!.end();
  await settled();
  expect(reader.active.map(({ file }) => file)).toEqual(['segment 1']);
  reader.active[0]!.end();
  await restart;
  expect(reader.active).toEqual([]);
  await streamer.dispose();
});
