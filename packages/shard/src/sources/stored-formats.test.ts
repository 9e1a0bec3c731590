import type { PackedFormat } from '@airllm/kernels';
import { FormatError, MetaTensor } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { packedOnMeta } from './converted';
import { componentTensorName, decodeFormats, encodeFormats, FORMATS_KEY, packedOf } from './stored-formats';

const NF4: PackedFormat = {
  code: 'table4',
  nibbles: 'high',
  block: { rows: 1, columns: 64 },
  flat: true,
  scale: { dtype: 'U8', supers: { dtype: 'F32', every: 256 }, bias: true },
};
const U4: PackedFormat = {
  code: 'u4',
  nibbles: 'low',
  block: { rows: 1, columns: 32 },
  scale: { dtype: 'F16' },
  zero: { dtype: 'U8' },
  columns: true,
};
const table = Float32Array.from({ length: 273 }, (_, i) => (i === 5 ? -0 : i === 6 ? Number.NaN : i / 3));

const decode = (metadata: Record<string, string>) => decodeFormats('f', new Map(Object.entries(metadata)));

test('formats and constants come back exactly, and shared tables are stored once', () => {
  const other = table.slice();
  other[0] = 0.25;
  const matrices = [
    { name: 'a.weight', shape: [2, 64], format: NF4, constants: table },
    { name: '__proto__', shape: [2, 64], format: NF4, constants: other },
    { name: 'c', shape: [4, 64], format: U4 },
  ];
  const metadata = encodeFormats(matrices);
  expect(decode(metadata)).toEqual(matrices);
  expect(Object.is(decode(metadata)[0]!.constants![5], -0)).toBe(true);
  expect(JSON.parse(metadata[FORMATS_KEY]!).tables).toHaveLength(4);
  expect(encodeFormats([])).toEqual({});
  expect(decode({ format: 'pt' })).toEqual([]);
});

test('a matrix is put together from its components by name', () => {
  const onMeta = packedOnMeta('m', [4, 64], U4);
  const stored = new Map(
    onMeta.parts().map(([component, { dtype, shape }]) => {
      const name = componentTensorName('m', component as 'codes');
      return [name, new MetaTensor({ name, dtype, shape })];
    }),
  );
  expect([...stored.keys()]).toEqual(['m', 'm.scales', 'm.zeros', 'm.columns']);
  const packed = packedOf('f', { name: 'm', shape: [4, 64], format: U4 }, stored);
  expect(packed.components.codes).toBe(stored.get('m'));
  stored.delete('m.zeros');
  expect(() => packedOf('f', { name: 'm', shape: [4, 64], format: U4 }, stored)).toThrow(/zeros are missing/);
});

describe('what is damaged is refused by file and tensor', () => {
  const good = JSON.parse(encodeFormats([{ name: 'a', shape: [2, 64], format: NF4, constants: table }])[FORMATS_KEY]!);
  const changed = (change: (value: typeof good) => void) => {
    const value = structuredClone(good);
    change(value);
    return JSON.stringify(value);
  };
  test.each([
    ['no JSON', '{'],
    ['null', 'null'],
    ['another version', changed((v) => (v.version = 2))],
    ['no tables', changed((v) => delete v.tables)],
    ['an entry of null', changed((v) => (v.tensors.a = null))],
    ['an unknown code', changed((v) => (v.tensors.a.format.code = 'u3'))],
    ['an unknown field', changed((v) => (v.tensors.a.format.rotate = true))],
    ['a fraction as block', changed((v) => (v.tensors.a.format.block.columns = 1.5))],
    ['a shape of one', changed((v) => (v.tensors.a.shape = [4]))],
    ['a negative shape', changed((v) => (v.tensors.a.shape = [-2, 64]))],
    ['a missing table', changed((v) => (v.tensors.a.constants = [0, 1, 9]))],
    ['too few constants', changed((v) => (v.tensors.a.constants = [0, 1]))],
    ['constants of another type', changed((v) => (v.tensors.a.constants = 'x'))],
  ])('%s', (_, text) => {
    const failure = (() => {
      try {
        return decode({ [FORMATS_KEY]: text });
      } catch (error) {
        return error;
      }
    })();
    expect(FormatError.isInstance(failure) && failure.file).toBe('f');
  });

  test('components of another shape, and formats that make no sense', () => {
    const name = 'm';
    const codes = new MetaTensor({ name, dtype: 'U8', shape: [4, 31] });
    const parts = new Map([[name, codes]]);
    expect(() => packedOf('f', { name, shape: [4, 64], format: U4 }, parts)).toThrow(FormatError);
    expect(() => packedOf('f', { name, shape: [4, 63], format: U4 }, parts)).toThrow(FormatError);
    const { nibbles: _, ...without } = U4;
    expect(() => packedOf('f', { name, shape: [4, 62], format: without }, parts)).toThrow(FormatError);
  });
});
