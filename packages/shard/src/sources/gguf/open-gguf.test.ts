import { copyFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { MissingFileError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';
import { type TestGguf, writeGguf } from '../../testing/write-gguf';
import { chooseGguf, openGguf } from './open-gguf';

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Writes the parts of a split model; each tensor lies in a part of its own. */
function writeParts(names: readonly string[], change: (part: number) => object = () => ({})): string[] {
  const dir = temporaryFolder();
  return names.map((name, no) => {
    const split = { 'split.no': no, 'split.count': names.length, 'split.tensors.count': names.length, ...change(no) };
    const metadata = Object.fromEntries(
      Object.entries(split).map(([key, value]) => [key, { type: 'u16', value } as const]),
    );
    const file = path.join(dir, `m-0000${no + 1}-of-0000${names.length}.gguf`);
    return writeGguf(file, { metadata, tensors: [{ name, type: 0, dimensions: [4], bytes: new Uint8Array(16) }] });
  });
}

describe('openGguf', () => {
  test('opens all parts, whichever is named', async () => {
    const files = writeParts(['a', 'b', 'c']);
    for (const file of files) {
      const gguf = await openGguf(file);
      expect(gguf.files).toEqual(files);
      expect([...gguf.tensors.values()].map(({ name, file: lies }) => [name, lies])).toEqual([
        ['a', files[0]],
        ['b', files[1]],
        ['c', files[2]],
      ]);
      expect(gguf.metadata.int('split.no', 0)).toBe(0);
    }
  });

  test.each([
    ['a part that calls itself another', (no: number) => ({ 'split.no': no === 1 ? 0 : no }), /split.no/],
    ['parts that count otherwise than their names', () => ({ 'split.count': 4 }), /split.count.*4/],
    ['a count of tensors that is wrong', () => ({ 'split.tensors.count': 9 }), /split.tensors.count.*9/],
  ])('refuses %s', async (_, change, message) => {
    expect(await errorOf(openGguf(writeParts(['a', 'b'], change)[0]!))).toMatchObject({
      reason: expect.stringMatching(message),
    });
  });

  test('refuses one tensor in two parts', async () => {
    expect(await errorOf(openGguf(writeParts(['a', 'a'])[0]!))).toMatchObject({ tensor: 'a' });
  });

  test('refuses a part under the name of a whole file', async () => {
    const one: TestGguf = { metadata: { 'split.count': { type: 'u16', value: 3 } } };
    const error = await errorOf(openGguf(writeGguf(path.join(temporaryFolder(), 'model.gguf'), one)));
    expect(error).toMatchObject({ reason: expect.stringMatching(/one of 3 parts.*-00001-of-00003/) });
  });

  test('says which part is missing', async () => {
    const [first] = writeParts(['a', 'b']);
    const alone = path.join(temporaryFolder(), 'm-00001-of-00002.gguf');
    copyFileSync(first!, alone);
    const error = await errorOf(openGguf(alone));
    expect(MissingFileError.isInstance(error)).toBe(true);
    expect((error as MissingFileError).file).toBe(alone.replace('00001', '00002'));
  });

  const split = sharedFolder('golden-quant/gguf-split-q8_0');
  test.skipIf(split === undefined)('the reference split has all its tensors', async () => {
    const parts = readdirSync(split!).filter((name) => name.endsWith('.gguf'));
    const gguf = await openGguf(path.join(split!, parts[1]!));
    expect(gguf.tensors.size).toBe(12);
    expect(gguf.metadata.string('general.architecture')).toBe('llama');
  });
});

describe('chooseGguf', () => {
  test.each([
    [['x.gguf'], 'x.gguf'],
    [['mmproj-x.gguf', 'x.gguf'], 'x.gguf'],
    [['x-00002-of-00002.gguf', 'x-00001-of-00002.gguf'], 'x-00001-of-00002.gguf'],
    [['x-00002-of-00002.gguf'], 'x-00002-of-00002.gguf'],
    [['a.gguf', 'model.gguf'], 'model.gguf'],
  ])('%j', (names, expected) => expect(chooseGguf('/dir', names)).toBe(expected));

  test('does not choose between models', () => {
    try {
      chooseGguf('/dir', ['m.Q8_0.gguf', 'm.Q4_0.gguf']);
      expect.unreachable();
    } catch (error) {
      expect(UnsupportedCheckpointError.isInstance(error)).toBe(true);
      expect((error as Error).message).toContain('m.Q4_0.gguf, m.Q8_0.gguf');
    }
  });
});
