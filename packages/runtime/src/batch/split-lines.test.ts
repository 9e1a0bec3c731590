import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readLines, splitLines } from './split-lines';

async function split(chunks: readonly Uint8Array[]) {
  async function* stream() {
    yield* chunks;
  }
  const lines = [];
  for await (const { bytes, ...rest } of splitLines(stream())) {
    lines.push({ text: Buffer.from(bytes).toString(), ...rest });
  }
  return lines;
}

test('lines are the same however the bytes come', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'ü', '🐘', '\n', '\r', '\u2028') });
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(40)), async (text, cuts) => {
      const bytes = Buffer.from(text);
      const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
      const lines = await split(places.slice(1).map((to, i) => bytes.subarray(places[i]!, to)));
      const expected = text.split('\n');
      const last = expected.pop()!;
      expect(lines.map(({ text }) => text)).toEqual(last === '' ? expected : [...expected, last]);
      let offset = 0;
      lines.forEach((line, i) => {
        expect(line).toMatchObject({ number: i + 1, offset, ended: i < expected.length });
        offset += Buffer.byteLength(line.text) + 1;
      });
    }),
  );
});

test('a byte order mark before the first line is no part of it', async () => {
  const bytes = Buffer.from('\uFEFFa\n\uFEFFb\n');
  async function* stream() {
    yield bytes.subarray(0, 2);
    yield bytes.subarray(2);
  }
  const lines: string[] = [];
  for await (const line of readLines(stream())) lines.push(Buffer.from(line).toString());
  expect(lines).toEqual(['a', '\uFEFFb']);
});

test('of a line without end only so much is kept', async () => {
  const chunk = Buffer.alloc(32, 'x');
  const chunks = [...Array<Buffer>(10).fill(chunk), Buffer.from('\nnext')];
  async function* stream() {
    yield* chunks;
  }
  const lines = [];
  for await (const { bytes, offset } of splitLines(stream(), 256)) lines.push([bytes.length, offset]);
  expect(lines).toEqual([
    [257, 0],
    [4, 10 * chunk.length + 1],
  ]);
});
