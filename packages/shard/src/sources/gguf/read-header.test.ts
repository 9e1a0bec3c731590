import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { FormatError, MissingFileError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';
import { floats, ggufBytes, ints, str, strings, type TestGguf, uint, writeGguf } from '../../testing/write-gguf';
import { readGgufHeader } from './read-header';

const errorOf = (file: string): Promise<unknown> =>
  readGgufHeader(file).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('readGgufHeader', () => {
  test('reads metadata and tensors of versions 2 and 3, and leaves arrays in the file', async () => {
    const dir = temporaryFolder();
    for (const version of [2, 3]) {
      const file = writeGguf(path.join(dir, 'model #1.gguf'), {
        version,
        alignment: 64,
        metadata: {
          'general.alignment': uint(64),
          name: str('ünï'),
          big: { type: 'u64', value: 2n ** 63n },
          small: { type: 'i64', value: -3n },
          nested: { type: 'array', of: 'array', value: [strings(['a']), ints([1, 2])] },
          many: strings(Array.from({ length: 300 }, (_, i) => `token ${i}`.repeat(200))),
          after: floats([1.5]),
        },
        tensors: [
          { name: 'a', type: 0, dimensions: [3, 2], bytes: new Uint8Array(24) },
          { name: 'b', type: 8, dimensions: [64, 5], bytes: new Uint8Array(340) },
        ],
      });
      const header = await readGgufHeader(file);
      expect(header).toMatchObject({ version, alignment: 64, file });
      expect(header.metadata.get('name')).toEqual({ type: 'string', value: 'ünï' });
      expect(header.metadata.get('big')).toEqual({ type: 'u64', value: 2n ** 63n });
      expect(header.metadata.get('small')).toEqual({ type: 'i64', value: -3 });
      expect(header.metadata.get('many')).toMatchObject({ type: 'array', of: 'string', count: 300 });
      expect(header.metadata.get('after')).toMatchObject({ type: 'array', of: 'f32', count: 1, byteLength: 4 });
      const [a, b] = header.tensors;
      expect(a).toMatchObject({ name: 'a', shape: [2, 3], byteLength: 24 });
      expect(b).toMatchObject({ name: 'b', shape: [5, 64], byteLength: 340, type: { name: 'Q8_0' } });
      expect(b!.offset).toBe(a!.offset + 64);
      expect(b!.offset + Math.ceil(340 / 64) * 64).toBe(header.fileBytes);
    }
  });

  test.each([
    ['a bool that is neither', { metadata: { x: { type: 'bool', value: 2 } } }, /"x".*bool/],
    ['a dimension of 0', { tensors: [{ name: 'w', type: 0, dimensions: [0], bytes: new Uint8Array(0) }] }, /may be 0/],
    ['arrays nested 5 deep', { metadata: { x: nest(5) } }, /"x".*nested/],
  ] as [string, TestGguf, RegExp][])('refuses %s', async (_, gguf, reason) => {
    const error = await errorOf(writeGguf(path.join(temporaryFolder(), 'x.gguf'), gguf));
    expect(FormatError.isInstance(error)).toBe(true);
    expect((error as FormatError).message).toMatch(reason);
  });

  test('refuses text that is not UTF-8, and files that are not there', async () => {
    const file = path.join(temporaryFolder(), 'x.gguf');
    const bytes = Buffer.from(ggufBytes({ metadata: { title: str('Aaaa') } }));
    bytes[bytes.indexOf('Aaaa') + 1] = 0xff;
    writeFileSync(file, bytes);
    expect(await errorOf(file)).toMatchObject({ reason: 'metadata "title" is not UTF-8' });
    expect(MissingFileError.isInstance(await errorOf(`${file}x`))).toBe(true);
  });

  test('survives anything: cuts and broken bytes end in an error or a header, never in a crash', async () => {
    const dir = temporaryFolder();
    const whole = ggufBytes({
      metadata: { 'general.alignment': uint(32), a: strings(['one', 'two']), b: ints([1, 2, 3]), c: str('text') },
      tensors: [
        { name: 'w', type: 2, dimensions: [32, 2], bytes: new Uint8Array(36) },
        { name: 'v', type: 0, dimensions: [4], bytes: new Uint8Array(16) },
      ],
    });
    const next = lcg(7);
    const outcomes = { fine: 0, refused: 0 };
    for (let i = 0; i < 400; i++) {
      const bytes = Buffer.from(whole.subarray(0, i % 4 === 0 ? next(whole.length) : whole.length));
      for (let n = next(4); n > 0 && bytes.length > 0; n--)
        bytes[next(bytes.length)] = [0, 1, 0xff, next(256)][next(4)]!;
      const file = path.join(dir, 'fuzz.gguf');
      writeFileSync(file, bytes);
      const error = await errorOf(file);
      if (error === undefined) outcomes.fine++;
      else if (FormatError.isInstance(error)) outcomes.refused++;
      else throw error;
    }
    // Both kinds were met, or the test would say little.
    expect(outcomes.fine).toBeGreaterThan(20);
    expect(outcomes.refused).toBeGreaterThan(100);
  });
});

function nest(depth: number): NonNullable<TestGguf['metadata']>[string] {
  return depth === 1 ? ints([1]) : { type: 'array', of: 'array', value: [nest(depth - 1)] };
}

/** Repeatable numbers below `limit`. */
function lcg(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const bad = sharedFolder('golden-quant/bad-gguf');

/** What the message must say about each reason: wording is ours, the fact is not. */
const REASONS: Readonly<Record<string, RegExp>> = {
  'bad-magic': /magic/,
  'version-1': /version 1/,
  'version-big-endian': /big-endian/,
  'version-99': /version 99/,
  empty: /empty/,
  'header-cut': /cut|too short/,
  'tensor-count-huge': /1152921504606846976 tensors/,
  'kv-count-huge': /1152921504606846976 metadata/,
  'key-length-huge': /4611686018427387904 bytes/,
  'string-past-end': /past the end/,
  'array-count-huge': /2305843009213693952 items/,
  'array-nested-5000': /nested/,
  'value-type-unknown': /value type \d+ is unknown/,
  'tensor-type-unknown': /type \d+ is unknown/,
  'tensor-type-removed': /Q4_2.*removed/,
  'dims-5': /5 dimensions/,
  'dims-overflow': /2\^53/,
  'dim-not-block-multiple': /33 values.*Q8_0/,
  'offset-unaligned': /multiple of 32/,
  'offset-past-end': /the file has/,
  'data-cut': /the file has/,
  overlap: /overlap/,
  'duplicate-tensor': /twice/,
  'duplicate-key': /twice/,
  'alignment-zero': /alignment.*0/,
  'alignment-3': /power of two/,
  'alignment-string': /alignment.*u32.*string/,
};

describe.skipIf(bad === undefined)('malformed files', () => {
  const names = bad === undefined ? [] : readdirSync(bad).filter((name) => name.endsWith('.gguf'));
  const expected = bad === undefined ? {} : JSON.parse(readFileSync(path.join(bad, 'expected.json'), 'utf8'));

  test.each(names)('%s', async (name) => {
    const error = await errorOf(path.join(bad!, name));
    if (expected[name].valid) expect(error).toBeUndefined();
    else {
      expect(FormatError.isInstance(error)).toBe(true);
      expect((error as FormatError).message).toMatch(REASONS[name.replace('.gguf', '')]!);
    }
  });
});
