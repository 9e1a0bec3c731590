import { constantsTensor, type PackedFormat, PackedTensor } from '@airllm/kernels';
import { MetaTensor } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { convertInMemory, decodeSourceTensor } from '../testing/decode-source-tensor';
import { conversionParts, convertRanges, rowCount } from './convert';
import type { Codec, CodecCall, Conversion } from './source';

const FORMAT: PackedFormat = {
  code: 'u4',
  nibbles: 'low',
  block: { rows: 1, columns: 2 },
  scale: { dtype: 'F32' },
  zero: 8,
  columns: true,
};

/** One byte per code becomes one nibble; scales and columns are copied. */
const toy: Codec = {
  name: 'toy',
  rowStep: () => 2,
  convertRows: ({ shape, from, to, read, out }: CodecCall) => {
    const columns = shape[1]!;
    if (out.codes) {
      const bytes = read('bytes', from * columns, (to - from) * columns);
      for (let i = 0; i < out.codes.length; i++) out.codes[i] = bytes[2 * i]! | (bytes[2 * i + 1]! << 4);
    }
    out.scales?.set(read('scales', from * columns * 2, (to - from) * columns * 2));
    out.columns?.set(read('columns', 0, columns * 4));
  },
};

const bytes = (array: Float32Array | Int32Array) => new Uint8Array(array.buffer);

function conversion(): Conversion {
  const literal = (name: string, dtype: 'U8' | 'F32' | 'I32', shape: number[], data: Uint8Array) =>
    new MetaTensor({ name, dtype, shape, literal: data });
  return {
    kind: 'conversion',
    name: 'm.weight',
    shape: [3, 4],
    codec: 'toy',
    params: null,
    inputs: {
      bytes: literal('b', 'U8', [3, 4], Uint8Array.of(8, 9, 10, 7, 0, 15, 8, 8, 1, 2, 3, 4)),
      scales: literal('s', 'F32', [3, 2], bytes(Float32Array.of(1, 2, 0.5, 3, 1, 10))),
      columns: literal('c', 'I32', [4], bytes(Int32Array.of(3, 2, 1, 0))),
    },
    output: { format: FORMAT },
  };
}

describe('a conversion', () => {
  test('writes codes first, row-wise parts and whole ones', () => {
    expect(conversionParts(conversion())).toEqual([
      { output: 'codes', dtype: 'U8', shape: [3, 2], bytes: 6, rowwise: true },
      { output: 'scales', dtype: 'F32', shape: [3, 2], bytes: 24, rowwise: true },
      { output: 'columns', dtype: 'I32', shape: [4], bytes: 16, rowwise: false },
    ]);
    expect([rowCount([2, 3, 4]), rowCount([5]), rowCount([])]).toEqual([6, 1, 1]);
  });

  test('decodes to the numbers that were meant', async () => {
    const decoded = await decodeSourceTensor(conversion(), [toy]);
    expect([...decoded]).toEqual([-2, 4, 1, 0, 0, 0, 3.5, -4, -40, -50, -6, -7]);
  });

  test('comes in ranges of whole steps, and a wanted part alone', () => {
    const seen: [number, number, string[]][] = [];
    const spy: Codec = {
      ...toy,
      convertRows: (call) => {
        seen.push([call.from, call.to, Object.keys(call.out)]);
        toy.convertRows(call);
      },
    };
    convertInMemory(conversion(), [spy]);
    expect(seen).toEqual([
      [0, 3, ['codes', 'scales', 'columns']],
      [0, 2, ['codes']],
      [2, 3, ['codes']],
      [0, 2, ['scales']],
      [2, 3, ['scales']],
      [0, 3, ['columns']],
    ]);
  });

  test('a codec whose bytes depend on the range is found out', async () => {
    const wrong: Codec = {
      ...toy,
      convertRows: (call) => {
        toy.convertRows(call);
        call.out.codes?.fill(call.to - call.from);
      },
    };
    await expect(decodeSourceTensor(conversion(), [wrong])).rejects.toThrow('codes made step by step differ');
  });

  test('tensors without elements take no call', () => {
    const empty = { ...conversion(), shape: [0, 4], output: { dtype: 'F32' } as const };
    const run = { conversion: empty, codec: toy, parts: conversionParts(empty), rangeBytes: 1 };
    const ranges = convertRanges({ ...run, read: () => new Uint8Array(0) }, () => new Uint8Array(0));
    expect([...ranges]).toEqual([]);
  });
});

test('packed tensors in place and dense ones decode too', async () => {
  const literal = (name: string, dtype: 'U8' | 'F32' | 'F16', shape: number[], data: Uint8Array) =>
    new MetaTensor({ name, dtype, shape, literal: data });
  const table = Float32Array.from({ length: 16 }, (_, i) => i * i);
  const packed = new PackedTensor({
    name: 'm.weight',
    shape: [2, 2],
    format: { code: 'table4', nibbles: 'high', block: { rows: 1, columns: 4 }, flat: true, scale: { dtype: 'F32' } },
    components: {
      codes: literal('codes', 'U8', [2, 1], Uint8Array.of(0x12, 0x3f)),
      scales: literal('scales', 'F32', [1], bytes(Float32Array.of(2))),
      constants: constantsTensor('constants', table),
    },
  });
  expect([...(await decodeSourceTensor(packed, []))]).toEqual([2, 8, 18, 450]);
  const dense = literal('d', 'F16', [2], Uint8Array.of(0, 0x3c, 0, 0xc0));
  expect([...(await decodeSourceTensor(dense, []))]).toEqual([1, -2]);
});
