import { E2M1, E4M3 } from '@airllm/kernels';
import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { packedIntegersSample, schemeConfig } from '../../testing/compressed-tensors-samples';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  rejection,
  SAMPLE_FILE,
  SampleNumbers,
  type SampleTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { isConversion } from '../source';
import { compressedTensors } from './compressed-tensors';

const resolve = (raw: RawSample) => compressedTensors.resolve(rawCheckpointOf(raw));

async function resolved(raw: RawSample) {
  const { tensors, used } = await resolve(raw);
  expect([...tensors.keys()]).toEqual(['m.weight']);
  expect([...used].sort()).toEqual(
    Object.keys(raw.tensors)
      .filter((name) => name !== 'm.bias')
      .sort(),
  );
  const tensor = tensors.get('m.weight')!;
  return {
    tensor,
    how: isConversion(tensor) ? 'converted' : 'in place',
    numbers: await decodeSourceTensor(tensor, CODECS),
  };
}

describe('integers', () => {
  test.each<[Parameters<typeof packedIntegersSample>[0], string]>([
    [{ shape: [5, 64], bits: 4, group: 32 }, 'in place'],
    [{ shape: [5, 64], bits: 4 }, 'in place'],
    [{ shape: [5, 64], bits: 4, perTensor: true }, 'in place'],
    [{ shape: [5, 80], bits: 4, group: 32, scaleDType: 'F32' }, 'in place'],
    [{ shape: [5, 36], bits: 8, group: 12 }, 'in place'],
    [{ shape: [5, 36], bits: 4, group: 12 }, 'converted'],
    [{ shape: [5, 33], bits: 4 }, 'converted'],
    [{ shape: [5, 35], bits: 8 }, 'converted'],
    [{ shape: [40, 64], bits: 4, group: 16, zeros: 'packed' }, 'converted'],
    [{ shape: [5, 64], bits: 4, group: 16, zeros: 'bytes' }, 'converted'],
    [{ shape: [5, 64], bits: 4, group: 16, zeros: 'none of them' }, 'in place'],
    [{ shape: [5, 64], bits: 4, perTensor: true, zeros: 'bytes' }, 'converted'],
    [{ shape: [33, 32], bits: 8, group: 16, zeros: 'packed' }, 'converted'],
    [{ shape: [5, 64], bits: 4, group: 16, groupOf: (k) => Math.floor(k / 16) }, 'in place'],
    [{ shape: [5, 64], bits: 4, group: 16, groupOf: () => -1 }, 'in place'],
    [{ shape: [3, 1], bits: 8 }, 'converted'],
  ])('%o: %s', async (options, expected) => {
    const groups = options.groupOf?.(0) === -1 ? { ...options, groupOf: undefined } : options;
    const { weights } = packedIntegersSample(groups as typeof options);
    const { numbers, how } = await resolved(packedIntegersSample(options).sample);
    expect(numbers).toEqual(weights);
    expect(how).toBe(expected);
  });

  test.each([1, 2, 3, 5, 6, 7])('%i bits, with zero points, act-order, and in the older packing', async (bits) => {
    for (const wholeCodes of [false, true]) {
      for (const zeros of [undefined, 'packed', 'bytes'] as const) {
        for (const groupOf of [undefined, (k: number) => (k * 7) % 4, (k: number) => (k === 0 ? 0 : 3)]) {
          const { sample, weights } = packedIntegersSample({
            ...{ shape: [40, 128], bits, group: 32, wholeCodes },
            ...(zeros && { zeros }),
            ...(groupOf && { groupOf }),
          });
          const { numbers, how } = await resolved(sample);
          expect(numbers).toEqual(weights);
          expect(how).toBe('converted');
        }
      }
    }
  });

  test.each([4, 8])(
    '%i bits in act-order: columns are permuted, not the activations of an irregular one',
    async (bits) => {
      const options = { shape: [6, 64], bits, group: 16 } as const;
      const permuted = packedIntegersSample({ ...options, groupOf: (k) => k % 4 });
      const one = await resolved(permuted.sample);
      expect(one.numbers).toEqual(permuted.weights);
      expect(one.tensor).toMatchObject({ output: { format: { columns: true, zero: 2 ** (bits - 1) } } });
      const irregular = packedIntegersSample({ ...options, zeros: 'packed', groupOf: (k) => (k < 60 ? 0 : 3) });
      const other = await resolved(irregular.sample);
      expect(other.numbers).toEqual(irregular.weights);
      expect(other.tensor).toMatchObject({ output: { dtype: 'F32' } });
    },
  );

  test.each<[Parameters<typeof packedIntegersSample>[0], string]>([
    [{ shape: [5, 36], bits: 8, plain: true }, 'in place'],
    [{ shape: [5, 36], bits: 8, plain: true, perTensor: true }, 'in place'],
    [{ shape: [5, 36], bits: 8, plain: true, group: 8, zeros: 'none of them' }, 'in place'],
    [{ shape: [5, 36], bits: 8, plain: true, group: 8, zeros: 'bytes' }, 'converted'],
    [{ shape: [5, 36], bits: 8, plain: true, perTensor: true, zeros: 'bytes' }, 'converted'],
    [{ shape: [5, 35], bits: 8, plain: true, group: 7, groupOf: (k) => k % 5 }, 'converted'],
  ])('in bytes: %o: %s', async (options, expected) => {
    const { sample, weights } = packedIntegersSample(options);
    const { numbers, how } = await resolved(sample);
    expect(numbers).toEqual(weights);
    expect(how).toBe(expected);
  });

  test('the configuration tells how the last group is shortened', async () => {
    const { sample, weights } = packedIntegersSample({ shape: [3, 100 + 28], bits: 4, group: 48 });
    expect((await resolved(sample)).numbers).toEqual(weights);
  });

  test('modules of several widths: each by its own', async () => {
    const four = packedIntegersSample({ shape: [4, 64], bits: 4, group: 32 }).sample;
    const eight = packedIntegersSample({ shape: [4, 64], bits: 8, plain: true }).sample;
    const other = Object.entries(eight.tensors).map(([name, tensor]) => [name.replace('m.', 'n.'), tensor]);
    const tensors = { ...four.tensors, ...Object.fromEntries(other) };
    const config_groups = {
      group_0: { targets: ['re:.*m'], format: 'pack-quantized', weights: { num_bits: 4, group_size: 32 } },
      group_1: { targets: ['re:.*n'], format: 'int-quantized', weights: { num_bits: 8, type: 'int' } },
    };
    const quantisation = { quant_method: 'compressed-tensors', format: 'mixed-precision', config_groups };
    const found = await resolve({ quantisation, tensors });
    const codes = [...found.tensors].map(([name, tensor]) => [name, 'format' in tensor && tensor.format.code]);
    expect(codes).toEqual([
      ['m.weight', 'u4'],
      ['n.weight', 'i8'],
    ]);
  });
});

const CONFIG = { quant_method: 'compressed-tensors' };

describe('floats', () => {
  const numbers = new SampleNumbers(3);
  const codes = numbers.bytes(6 * 96, 0x7f);
  const weight = { dtype: 'F8_E4M3', shape: [6, 96], data: codes } as const;
  const powers = (count: number) => new SampleNumbers(4).bytes(count, 60).map((byte) => 90 + byte);

  test.each<[string, SampleTensor, Record<string, unknown>, (n: number, k: number) => number]>([
    ['tensor', floatTensor([1], new SampleNumbers(1).scales(1), 'BF16'), {}, () => 0],
    ['rows', floatTensor([6, 1], new SampleNumbers(1).scales(6), 'BF16'), {}, (n) => n],
    ['groups', floatTensor([6, 3], new SampleNumbers(1).scales(18)), {}, (n, k) => 3 * n + Math.floor(k / 32)],
    [
      'blocks',
      floatTensor([2, 3], new SampleNumbers(1).scales(6)),
      { num_bits: 8, type: 'float', strategy: 'block', block_structure: [4, 40] },
      (n, k) => 3 * Math.floor(n / 4) + Math.floor(k / 40),
    ],
  ])('FP8, a scale for %s', async (_, scales, scheme, at) => {
    const quantisation = scheme.num_bits === undefined ? CONFIG : schemeConfig(scheme);
    const found = await resolved({ quantisation, tensors: { 'm.weight': weight, 'm.weight_scale': scales } });
    const own = new SampleNumbers(1).scales(18);
    const expected = Float32Array.from(codes, (code, i) => E4M3[code]! * own[at(Math.floor(i / 96), i % 96)]!);
    expect(found).toMatchObject({ how: 'in place', numbers: expected });
  });

  test('MXFP8', async () => {
    const scales = { dtype: 'U8', shape: [6, 3], data: powers(18) } as const;
    const found = await resolved({ quantisation: CONFIG, tensors: { 'm.weight': weight, 'm.weight_scale': scales } });
    const expected = Float32Array.from(codes, (code, i) => E4M3[code]! * 2 ** (scales.data[Math.floor(i / 32)]! - 127));
    expect(found).toMatchObject({ how: 'in place', numbers: expected });
  });

  const packed = { dtype: 'U8', shape: [6, 48], data: numbers.bytes(6 * 48) } as const;
  const code = (i: number) => (i % 2 === 0 ? packed.data[i >> 1]! & 15 : packed.data[i >> 1]! >> 4);

  test('NVFP4: scales are divided by the global one', async () => {
    const scales = { dtype: 'F8_E4M3', shape: [6, 6], data: new SampleNumbers(5).bytes(36, 0x7f) } as const;
    const global = Math.fround(1234.5);
    const tensors = {
      'm.weight_packed': packed,
      'm.weight_scale': scales,
      'm.weight_global_scale': floatTensor([1], Float32Array.of(global)),
      'm.input_global_scale': floatTensor([1], Float32Array.of(3)),
    };
    const found = await resolved({ quantisation: CONFIG, tensors });
    const expected = Float32Array.from(
      { length: 6 * 96 },
      (_, i) => E2M1[code(i)]! * Math.fround(E4M3[scales.data[Math.floor(i / 16)]!]! / global),
    );
    expect(found).toMatchObject({ how: 'in place', numbers: expected });
  });

  test('MXFP4', async () => {
    const scales = { dtype: 'U8', shape: [6, 3], data: powers(18) } as const;
    const found = await resolved({
      quantisation: CONFIG,
      tensors: { 'm.weight_packed': packed, 'm.weight_scale': scales },
    });
    const expected = Float32Array.from(
      { length: 6 * 96 },
      (_, i) => E2M1[code(i)]! * 2 ** (scales.data[Math.floor(i / 32)]! - 127),
    );
    expect(found).toMatchObject({ how: 'in place', numbers: expected });
  });

  test('zero points of 0, which old releases stored, are disregarded', async () => {
    const tensors = {
      'm.weight': weight,
      'm.weight_scale': floatTensor([6, 1], new SampleNumbers(1).scales(6)),
      'm.weight_zero_point': { dtype: 'F8_E4M3', shape: [6, 1], data: new Uint8Array(6) } as const,
    };
    expect(await resolved({ quantisation: CONFIG, tensors })).toMatchObject({ how: 'in place' });
  });
});

test('what it is told by: the method, in the old forms too, its groups, or packed weights', () => {
  const { sample } = packedIntegersSample({ shape: [2, 8], bits: 4 });
  const detected = (quantisation: Record<string, unknown> | null, tensors = {}) =>
    compressedTensors.detect(rawCheckpointOf({ quantisation, tensors }));
  expect(detected({ quant_method: 'compressed-tensors' })).toBe(true);
  expect(detected({ quant_method: 'sparseml', format: 'int-quantized' })).toBe(true);
  expect(detected({ quantization_config: { quant_method: 'compressed-tensors' } })).toBe(true);
  expect(detected({ config_groups: {}, format: 'float-quantized' })).toBe(true);
  expect(detected(null, sample.tensors)).toBe(true);
  expect(detected({ quant_method: 'modelopt', config_groups: {} }, sample.tensors)).toBe(false);
  expect(detected({ quant_algo: 'FP8', config_groups: {} })).toBe(false);
  expect(detected(null)).toBe(false);
});

const GOOD = packedIntegersSample({
  shape: [8, 64],
  bits: 4,
  group: 16,
  zeros: 'packed',
  groupOf: (k) => k % 4,
}).sample;

function changed(changes: Record<string, SampleTensor | undefined>, quantisation = GOOD.quantisation): RawSample {
  const entries = Object.entries({ ...GOOD.tensors, ...changes });
  const tensors = Object.fromEntries(entries.flatMap(([name, tensor]) => (tensor ? [[name, tensor]] : [])));
  return { quantisation: quantisation ?? null, tensors };
}

const int = (
  dtype: 'I32' | 'I64' | 'I8' | 'U8',
  shape: readonly number[],
  values: readonly number[] = [],
): SampleTensor => {
  const count = shape.reduce((product, size) => product * size, 1);
  const all = Array.from({ length: count }, (_, i) => values[i] ?? 0);
  if (dtype === 'I64') return { dtype, shape, data: new Uint8Array(BigInt64Array.from(all, BigInt).buffer) };
  return { dtype, shape, data: dtype === 'I32' ? new Uint8Array(Int32Array.from(all).buffer) : Uint8Array.from(all) };
};

test.each<[string, Record<string, SampleTensor | undefined>, string]>([
  ['no shape', { 'm.weight_shape': undefined }, 'm.weight_packed'],
  ['no scales', { 'm.weight_scale': undefined }, 'm.weight_packed'],
  ['no codes', { 'm.weight_packed': undefined }, 'm.weight_shape'],
  ['dense weights in their place', { 'm.weight_packed': undefined, 'm.weight': int('U8', [8, 64]) }, 'm.weight'],
  ['codes of another dtype', { 'm.weight_packed': int('I64', [8, 8]) }, 'm.weight_packed'],
  ['codes in one dimension', { 'm.weight_packed': int('I32', [64]) }, 'm.weight_packed'],
  ['no rows', { 'm.weight_packed': int('I32', [0, 8]) }, 'm.weight_packed'],
  ['rows of other bits', { 'm.weight_packed': int('I32', [8, 9]) }, 'm.weight_packed'],
  ['a shape of other rows', { 'm.weight_shape': int('I64', [2], [9, 64]) }, 'm.weight_shape'],
  ['a shape of no columns', { 'm.weight_shape': int('I64', [2], [8, 0]) }, 'm.weight_shape'],
  ['a shape of negative columns', { 'm.weight_shape': int('I32', [2], [8, -64]) }, 'm.weight_shape'],
  ['a shape of three', { 'm.weight_shape': int('I64', [3], [8, 64, 1]) }, 'm.weight_shape'],
  ['a shape of more columns', { 'm.weight_shape': int('I64', [2], [8, 2 ** 50]) }, 'm.weight_packed'],
  ['scales of other rows', { 'm.weight_scale': floatTensor([7, 4], new Float32Array(28)) }, 'm.weight_scale'],
  ['more groups than columns', { 'm.weight_scale': floatTensor([8, 65], new Float32Array(520)) }, 'm.weight_scale'],
  ['integer scales', { 'm.weight_scale': int('I32', [8, 4]) }, 'm.weight_scale'],
  ['zero points that are not packed', { 'm.weight_zero_point': int('I32', [8, 4]) }, 'm.weight_zero_point'],
  ['too few zero points', { 'm.weight_zero_point': int('I8', [8, 3]) }, 'm.weight_zero_point'],
  ['zero points of another dtype', { 'm.weight_zero_point': int('U8', [8, 4]) }, 'm.weight_zero_point'],
  ['a group out of range', { 'm.weight_g_idx': int('I32', [64], [4]) }, 'm.weight_g_idx'],
  ['a group below', { 'm.weight_g_idx': int('I32', [64], [-2]) }, 'm.weight_g_idx'],
  ['groups of too few columns', { 'm.weight_g_idx': int('I32', [63]) }, 'm.weight_g_idx'],
  ['groups of another dtype', { 'm.weight_g_idx': int('I64', [64]) }, 'm.weight_g_idx'],
])('malformed: %s', async (_, changes, tensor) => {
  const error = await rejection(resolve(changed(changes)));
  if (!FormatError.isInstance(error)) throw error;
  expect([error.file, error.tensor]).toEqual([SAMPLE_FILE, tensor]);
});

test.each<[string, Record<string, unknown>]>([
  ['nine bits', schemeConfig({ num_bits: 9 })],
  ['half a bit', schemeConfig({ num_bits: 0.5 })],
  ['groups that are none', { ...CONFIG, config_groups: [1] }],
  ['blocks of 0', schemeConfig({ num_bits: 8, type: 'float', block_structure: [0, 128] })],
])('a configuration of %s', async (_, quantisation) => {
  const error = await rejection(resolve(changed({}, quantisation)));
  expect(FormatError.isInstance(error) && error.file).toBe('/sample/config.json');
});

test.each<[string, RawSample, string]>([
  ['sparse weights', changed({ 'm.bitmask': int('U8', [8, 8]) }), 'sparse-24-bitmask'],
  ['Marlin’s sparse weights', changed({ 'm.scale_packed': int('U8', [8, 8]) }), 'marlin-24'],
  ['the same by the format', changed({}, { ...CONFIG, format: 'marlin-24' }), 'marlin-24'],
  ['rotations', changed({}, { ...CONFIG, transform_config: { config_groups: { R3: {} } } }), 'R3'],
  [
    'weights that are quantised at run time',
    changed(
      {
        'm.weight_packed': undefined,
        'm.weight_shape': undefined,
        'm.weight': floatTensor([8, 64], new Float32Array(512)),
      },
      { ...CONFIG, quantization_status: 'frozen' },
    ),
    'm.weight is F32',
  ],
  ['stacked experts', changed({ 'm.weight_packed': int('I32', [2, 8, 8]) }), 'm.weight_packed'],
  ['FP8 of another kind', changed({ 'n.weight': { ...int('U8', [2, 2]), dtype: 'F8_E5M2' } }), 'F8_E5M2'],
  [
    '6-bit floats',
    changed({ 'n.weight_packed': int('U8', [2, 48]), 'n.weight_scale': int('U8', [2, 2]) }),
    'n.weight_packed',
  ],
])('%s are refused by name', async (_, raw, name) => {
  const error = await rejection(resolve(raw));
  if (!UnsupportedCheckpointError.isInstance(error)) throw error;
  expect(error.message).toContain(name);
});
