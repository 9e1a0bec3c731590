import { describe, expect, onTestFinished, test } from 'vitest';
import { hubOptions } from '../../testing/hub-options';
import { HubServer, patternContent } from '../../testing/hub-server';
import { beginPull } from '../pull-model';
import type { ByteRange } from '../range-set';
import { partOrder } from './part-order';

/** A file whose blocks lie in the order of their names, as safetensors writes them, and the order in which a pass uses them. */
function byName(layers: number, layerBytes: number, edgeBytes: number) {
  const used = ['embed', ...Array.from({ length: layers }, (_, i) => `layers.${i}.`), 'norm'];
  const places = new Map<string, ByteRange>();
  let at = 0;
  for (const name of ['lm_head', ...[...used].sort()]) {
    const bytes = name === 'norm' ? 1 : name.startsWith('layers') ? layerBytes : edgeBytes;
    places.set(name, { from: at, to: at + bytes });
    at += bytes;
  }
  return { size: at, wanted: [...used, 'lm_head'].map((name) => places.get(name)!) };
}

function partsOf(size: number, bytes: number): ByteRange[] {
  return Array.from({ length: Math.ceil(size / bytes) }, (_, i) => {
    return { from: i * bytes, to: Math.min(size, (i + 1) * bytes) };
  });
}

/** Drive and hash are so much quicker than the network. */
const SPEED = 8;

/** Of the file, what somebody who takes ranges in this order still has to take when the last part has come. */
function leftOver(ranges: readonly ByteRange[], order: readonly ByteRange[], size: number): number {
  const come = new Map<ByteRange, number>();
  let at = 0;
  for (const part of order) {
    at += part.to - part.from;
    come.set(part, at);
  }
  const parts = [...order].sort((a, b) => a.from - b.from);
  let done = 0;
  for (const range of ranges) {
    for (const part of parts.filter(({ from, to }) => from < range.to && to > range.from)) {
      const bytes = Math.min(part.to, range.to) - Math.max(part.from, range.from);
      done = Math.max(done, come.get(part)!) + bytes / SPEED;
    }
  }
  return ((done - size) * SPEED) / size;
}

describe('parts', () => {
  test('of a file in the order of its use come from start to end', () => {
    const parts = partsOf(1000, 8);
    expect(
      partOrder(parts, [
        { from: 10, to: 400 },
        { from: 400, to: 1000 },
      ]),
    ).toEqual(parts);
    expect(partOrder([...parts].reverse(), [])).toEqual(parts);
  });

  test('of a file in the order of names come so that little is left to do after the last', () => {
    const { size, wanted } = byName(28, 400, 600);
    const parts = partsOf(size, 32);
    const file = [{ from: 0, to: size }];
    const inUse = wanted.flatMap(({ from, to }) => parts.filter((part) => part.from < to && part.to > from));
    const orders = { byFile: parts, byUse: [...new Set(inUse)], both: partOrder(parts, wanted) };
    const left = Object.fromEntries(
      Object.entries(orders).map(([name, order]) => {
        return [name, { read: leftOver(wanted, order, size), hash: leftOver(file, order, size) }];
      }),
    );
    // By the file the pass is left over, by use the checksum.
    expect(left.byFile!.read).toBeGreaterThan(0.55);
    expect(left.byUse!.hash).toBeGreaterThan(0.9);
    expect(Math.max(left.both!.read, left.both!.hash)).toBeLessThan(0.3);
  });

  test('are all there, once', () => {
    const { size, wanted } = byName(28, 397, 611);
    const some = partsOf(size, 64).filter((_, i) => i % 3 !== 0);
    const ordered = partOrder(some, wanted);
    expect([...ordered].sort((a, b) => a.from - b.from)).toEqual(some);
  });
});

test('a download brings the ranges that are wanted first, and verifies the file as any other', async () => {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  const MIB = 2 ** 20;
  const size = 6 * MIB;
  await server.addRepo('org/name', { 'model.safetensors': patternContent(size, 3) });
  const wanted = [
    { from: 0, to: MIB },
    { from: 3 * MIB, to: 6 * MIB },
    { from: MIB, to: 3 * MIB },
  ];
  const options = hubOptions(server, { connections: 1, wanted: () => wanted });
  const pull = await beginPull('org/name', options, { partBytes: MIB });
  await pull.done;
  const asked = server.requests.flatMap(({ route, range }) => (route === 'cdn' && range ? [range.from / MIB] : []));
  expect(asked).toEqual([0, 1, 3, 2, 4, 5]);
});
