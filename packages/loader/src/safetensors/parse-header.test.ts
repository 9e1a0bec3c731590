import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cpuSeconds } from '../../../../.ci/cpu-seconds';
import { DTYPES, tensorBytes } from '../dtype';
import { FormatError, MissingFileError } from '../errors';
import { temporaryFolder, writeRaw } from '../testing/folder';
import { shared, sharedAvailable } from '../testing/shared';
import { openSafetensors } from './open-safetensors';
import { headerLength, parseHeader } from './parse-header';
import { readSafetensorsHeader } from './read-header';

const dir = temporaryFolder();
const path = (name: string) => join(dir, name);
const w = { dtype: 'F32', shape: [4], data_offsets: [0, 16] };

async function refusal(file: string): Promise<FormatError> {
  const error = await readSafetensorsHeader(file).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(FormatError.isInstance(error), `${file}: ${error}`).toBe(true);
  return error as FormatError;
}

describe('valid files', () => {
  test('tensors come in the order of their bytes, with absolute extents', async () => {
    const header = { b: { dtype: 'U8', shape: [3], data_offsets: [16, 19] }, __metadata__: { format: 'pt' }, w };
    const file = writeRaw(path('order.safetensors'), header, new Uint8Array(19));
    const { tensors, metadata, fileBytes } = await openSafetensors(file);
    const start = fileBytes - 19;
    expect([...tensors.keys()]).toEqual(['w', 'b']);
    expect(tensors.get('b')?.extent).toEqual({ file, offset: start + 16, length: 3 });
    expect([...metadata]).toEqual([['format', 'pt']]);
  });

  test('a header longer than the first read', async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `model.layers.${i}.mlp.down_proj.weight`);
    const entries = names.map((name, i) => [name, { dtype: 'U8', shape: [1], data_offsets: [i, i + 1] }]);
    const file = writeRaw(path('long.safetensors'), Object.fromEntries(entries), new Uint8Array(5000));
    const { tensors } = await openSafetensors(file);
    expect([...tensors.keys()]).toEqual(names);
  });

  test('fields that are not known are left alone', async () => {
    const file = writeRaw(path('extra.safetensors'), { w: { ...w, note: { by: ['x'] } } }, new Uint8Array(16));
    expect((await openSafetensors(file)).tensors.size).toBe(1);
  });
});

describe('refused', () => {
  test.each<[string, string | object, number, string | undefined]>([
    ['a hole', { a: { ...w, data_offsets: [4, 20] } }, 20, 'a'],
    ['an overlap', { a: w, b: { ...w, data_offsets: [8, 24] } }, 24, 'b'],
    ['data cut', { a: w }, 15, 'a'],
    ['data too long', { a: w }, 17, undefined],
    ['shape against bytes', { a: { ...w, shape: [5] } }, 16, 'a'],
    ['a half byte', { a: { dtype: 'F4', shape: [3], data_offsets: [0, 2] } }, 2, 'a'],
    ['65 dimensions', { a: { dtype: 'U8', shape: Array(65).fill(1), data_offsets: [0, 1] } }, 1, 'a'],
    ['an endless name', { ['n'.repeat(5000)]: w }, 16, 'n'.repeat(5000)],
    ['numbers in the metadata', { __metadata__: { a: 1 }, a: w }, 16, undefined],
    ['a name twice', '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":1}', 0, 'a'],
    ['a byte order mark', `\ufeff${JSON.stringify({ a: w })}`, 16, undefined],
    ['an empty string', '', 0, undefined],
    ['trailing garbage', `${JSON.stringify({ a: w })}x`, 16, undefined],
  ])('%s', async (name, header, dataBytes, tensor) => {
    const file = writeRaw(path(`${name}.safetensors`), header, new Uint8Array(dataBytes));
    const error = await refusal(file);
    expect([error.file, error.tensor]).toEqual([file, tensor]);
    expect(error.reason).not.toBe('');
  });

  test.each([
    ['zip', 'PK\x03\x04aaaaaaaaaaaa', /zip/],
    ['gguf', 'GGUF\x03\x00\x00\x01aaaaaaaaaaaa', /GGUF/],
    ['html', '<!DOCTYPE html><html></html>', /HTML/],
    ['lfs', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', /LFS/],
  ])('a file that is %s says so', async (name, content, words) => {
    writeFileSync(path(`is-${name}.safetensors`), content, 'latin1');
    expect((await refusal(path(`is-${name}.safetensors`))).reason).toMatch(words);
  });

  test('a missing file, and a folder', async () => {
    await expect(readSafetensorsHeader(path('absent'))).rejects.toSatisfy(MissingFileError.isInstance);
    await expect(readSafetensorsHeader(dir)).rejects.toSatisfy(FormatError.isInstance);
  });
});

describe.skipIf(!sharedAvailable)('the published collection of bad files', () => {
  if (!sharedAvailable) return;
  const folder = 'golden-quant/bad-safetensors';
  const cases = JSON.parse(readFileSync(shared(`${folder}/expected.json`), 'utf8')) as Record<
    string,
    { reason: string; valid: boolean }
  >;
  test.each(Object.entries(cases))('%s', async (name, { valid }) => {
    const file = shared(`${folder}/${name}`);
    if (!valid) {
      const error = await refusal(file);
      expect(error.file).toBe(file);
      return;
    }
    const { tensors } = await openSafetensors(file);
    for (const tensor of tensors.values()) {
      const host = await tensor.materialize();
      expect(host.bytes()).toHaveLength(tensor.byteLength);
      host.dispose();
    }
  });

  test('a tensor named __proto__ is a tensor', async () => {
    const { tensors } = await openSafetensors(shared(`${folder}/proto-key.safetensors`));
    expect([...tensors.keys()]).toEqual(['__proto__']);
  });
});

describe('fuzzing', () => {
  const arbitraryTensors = fc.uniqueArray(
    fc.record({
      name: fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }),
      dtype: fc.constantFrom(...DTYPES.filter((dtype) => !/^F[46]/.test(dtype))),
      shape: fc.array(fc.nat(5), { maxLength: 4 }),
    }),
    { selector: ({ name }) => name, maxLength: 8 },
  );

  const valid = arbitraryTensors.map((tensors) => {
    let end = 0;
    const entries = tensors
      .filter(({ name }) => name !== '__metadata__')
      .map(({ name, dtype, shape }) => {
        const begin = end;
        end += tensorBytes(dtype, shape);
        return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`;
      });
    return { header: Buffer.from(`{${entries.join(',')}}`), dataBytes: end, count: entries.length };
  });

  test('every valid header is read', () => {
    fc.assert(
      fc.property(valid, ({ header, dataBytes, count }) => {
        expect(parseHeader('f', header, 8 + header.length + dataBytes).tensors).toHaveLength(count);
      }),
    );
  });

  test('a damaged header is read or refused, and whatever is read lies in the file', () => {
    const damage = fc.array(
      fc.record({ at: fc.nat(), byte: fc.oneof(fc.constantFrom(...Buffer.from('0123456789-.,[]{}":e')), fc.nat(255)) }),
      { minLength: 1, maxLength: 4 },
    );
    fc.assert(
      fc.property(valid, damage, fc.nat(3), ({ header, dataBytes }, bytes, cut) => {
        const damaged = Buffer.from(header.subarray(0, header.length - cut));
        for (const { at, byte } of bytes) damaged[at % damaged.length] = byte;
        const fileBytes = 8 + damaged.length + dataBytes;
        try {
          const { tensors } = parseHeader('f', damaged, fileBytes);
          let covered = 0;
          for (const { begin, end, dtype, shape } of tensors) {
            expect(begin).toBeGreaterThanOrEqual(8 + damaged.length);
            expect(end).toBeLessThanOrEqual(fileBytes);
            expect(end - begin).toBe(tensorBytes(dtype, shape));
            covered += end - begin;
          }
          expect(covered).toBe(dataBytes);
        } catch (error) {
          if (!FormatError.isInstance(error)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('any start of a file gives a header length within the file, or a refusal', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), fc.nat(1000), (start, more) => {
        const fileBytes = start.length < 24 ? start.length : start.length + more;
        try {
          expect(headerLength('f', start, fileBytes)).toBeLessThanOrEqual(fileBytes - 8);
        } catch (error) {
          if (!FormatError.isInstance(error)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

test('a header of 100 000 tensors parses in a fraction of a second', async () => {
  const entries = Array.from({ length: 100_000 }, (_, i) => {
    const name = `model.layers.${i % 61}.mlp.experts.${Math.floor(i / 61)}.down_proj.weight`;
    return `"${name}":{"dtype":"BF16","shape":[7168,2048],"data_offsets":[${i * 29360128},${(i + 1) * 29360128}]}`;
  });
  const header = Buffer.from(`{${entries.join(',')}}`);
  const parse = () => parseHeader('f', header, 8 + header.length + 100_000 * 29360128);
  const { result, seconds } = await cpuSeconds(parse);
  expect(result.tensors).toHaveLength(100_000);
  // 0.3 on a slow core.
  expect(seconds).toBeLessThan(10);
});
