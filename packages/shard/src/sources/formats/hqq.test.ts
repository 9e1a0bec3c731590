import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { hqqSample } from '../../testing/hqq-samples';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  rejection,
  SAMPLE_FILE,
  type SampleTensor,
  textTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { isConversion } from '../source';
import { hqq } from './hqq';

const resolve = (raw: RawSample) => hqq.resolve(rawCheckpointOf(raw));

async function resolved(raw: RawSample) {
  expect(hqq.detect(rawCheckpointOf(raw))).toBe(true);
  const { tensors, used } = await resolve(raw);
  expect([...tensors.keys()]).toEqual(['m.weight']);
  expect([...used].sort()).toEqual(
    Object.keys(raw.tensors)
      .filter((name) => name !== 'm.bias')
      .sort(),
  );
  const tensor = tensors.get('m.weight')!;
  return { tensor, numbers: await decodeSourceTensor(tensor, CODECS) };
}

test.each<[Parameters<typeof hqqSample>[0], object]>([
  [{ shape: [8, 128], bits: 4, group: 64 }, { output: { format: { code: 'u4', block: { rows: 1, columns: 64 } } } }],
  [{ shape: [8, 128], bits: 4, group: 64, joined: true }, { output: { format: { code: 'u4' } } }],
  [{ shape: [8, 128], bits: 2, group: 16 }, { output: { format: { code: 'u4' } } }],
  [{ shape: [8, 128], bits: 1, group: 32 }, { output: { format: { code: 'u4' } } }],
  // 10 groups to a word: the last word is not full.
  [{ shape: [6, 128], bits: 3, group: 64 }, { output: { format: { code: 'u4' } } }],
  [{ shape: [8, 128], bits: 8, group: 64 }, { format: { code: 'u8' } }],
  [{ shape: [8, 128], bits: 4, group: 128 }, { output: { format: { block: { rows: 1, columns: 128 } } } }],
  // Groups across the ends of rows.
  [{ shape: [8, 24], bits: 4, group: 16 }, { output: { format: { flat: true, block: { rows: 1, columns: 16 } } } }],
  [{ shape: [8, 24], bits: 8, group: 48 }, { format: { flat: true, block: { rows: 1, columns: 48 } } }],
  [{ shape: [8, 15], bits: 4, group: 15 }, { output: { format: { code: 'u8' } } }],
  [{ shape: [8, 15], bits: 4, group: 10 }, { output: { format: { code: 'u8', flat: true } } }],
  [
    { shape: [8, 32], bits: 4, group: 32, perTensor: true },
    { output: { format: { block: { rows: 8, columns: 32 } } } },
  ],
  [{ shape: [8, 128], bits: 4, group: 64, axis: 0 }, { output: { dtype: 'F32' } }],
  [{ shape: [6, 50], bits: 3, group: 15, axis: 0 }, { output: { dtype: 'F32' } }],
  [{ shape: [8, 32], bits: 8, group: 8, axis: 0 }, { output: { dtype: 'F32' } }],
  // More codes than are unpacked at a time.
  [{ shape: [600, 258], bits: 4, group: 86 }, { output: { format: { code: 'u4' } } }],
  [{ shape: [600, 258], bits: 4, group: 60, axis: 0 }, { output: { dtype: 'F32' } }],
])('%o', async (options, expected) => {
  const { sample, weights } = hqqSample(options);
  const { tensor, numbers } = await resolved(sample);
  expect(tensor).toMatchObject(expected);
  expect(isConversion(tensor)).toBe('output' in expected);
  expect(numbers).toEqual(weights);
});

const { sample: GOOD } = hqqSample({ shape: [8, 128], bits: 4, group: 64 });
const changed = (changes: Record<string, SampleTensor | undefined>, quantisation = GOOD.quantisation): RawSample => {
  const renamed = Object.entries(changes).map(([part, tensor]) => [`m.${part}`, tensor] as const);
  const entries = Object.entries({ ...GOOD.tensors, ...Object.fromEntries(renamed) });
  const tensors = Object.fromEntries(entries.flatMap(([name, tensor]) => (tensor ? [[name, tensor]] : [])));
  return { quantisation: quantisation ?? null, tensors };
};

describe('what is left out', () => {
  const { weights } = hqqSample({ shape: [8, 128], bits: 4, group: 64 });

  test('bits are told by the configuration, and the axis by the scales', async () => {
    const raw = changed({ packing: undefined, nbits: undefined, axis: undefined, view_as_float: undefined });
    expect((await resolved(raw)).numbers).toEqual(weights);
  });

  test('codes under the name of floats', async () => {
    const { data } = GOOD.tensors['m.W_q']!;
    expect((await resolved(changed({ W_q: { dtype: 'BF16', shape: [8, 32], data } }))).numbers).toEqual(weights);
  });
});

const int = (dtype: 'I32' | 'I64' | 'U8', values: readonly number[], shape: readonly number[] = [values.length]) => {
  if (dtype === 'I64')
    return { dtype, shape, data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) } as const;
  const data = dtype === 'I32' ? new Uint8Array(Int32Array.from(values).buffer) : Uint8Array.from(values);
  return { dtype, shape, data } as const;
};

test.each<[string, Record<string, SampleTensor | undefined>, string]>([
  ['no scale', { scale: undefined }, 'W_q'],
  ['no zero', { zero: undefined }, 'W_q'],
  ['no shape', { shape: undefined }, 'W_q'],
  ['bits that are none', { packing: undefined, nbits: int('I32', [7], []) }, 'W_q'],
  ['a packing that is none', { packing: textTensor('5bit_u9') }, 'W_q'],
  ['a packing of another name', { packing: textTensor('constructor') }, 'W_q'],
  ['a packing of other bits', { packing: textTensor('2bit_u8') }, 'W_q'],
  ['a text that is too long', { packing: textTensor('4'.repeat(100)) }, 'packing'],
  ['a shape of one', { shape: int('I64', [1024]) }, 'shape'],
  ['a shape of 0', { shape: int('I64', [0, 128]) }, 'shape'],
  ['a shape of another size', { shape: int('I64', [8, 64]) }, 'W_q'],
  ['a shape of more than there is', { shape: int('I32', [2 ** 30, 2 ** 20]) }, 'W_q'],
  ['codes of another dtype', { W_q: int('I32', Array(512).fill(0), [8, 64]) }, 'W_q'],
  ['codes of one dimension', { W_q: int('U8', Array(512).fill(0)) }, 'W_q'],
  [
    'too few scales',
    { scale: floatTensor([15, 1], new Float32Array(15)), zero: floatTensor([15, 1], new Float32Array(15)) },
    'scale',
  ],
  ['fewer zeros than scales', { zero: floatTensor([15, 1], new Float32Array(15)) }, 'zero'],
  ['integer zeros', { zero: int('I32', Array(16).fill(0), [16, 1]) }, 'zero'],
  ['another axis', { axis: int('I32', [0], []) }, 'scale'],
  ['two axes', { axis: int('I32', [0, 1]) }, 'axis'],
  ['joined numbers of three', { zero_scale: floatTensor([3, 16, 1], new Float32Array(48)) }, 'zero_scale'],
])('malformed: %s', async (_, changes, part) => {
  const error = await rejection(resolve(changed(changes)));
  if (!FormatError.isInstance(error)) throw error;
  expect([error.file, error.tensor]).toEqual([SAMPLE_FILE, `m.${part}`]);
});

test.each<[string, Record<string, SampleTensor>, string]>([
  ['quantised scales', { scale_q: int('U8', [1]) }, 'm has scales'],
  ['quantised zeros', { zero_q: int('U8', [1]) }, 'm has scales'],
  ['both, joined', { zero_scale: int('U8', [1, 2], [2, 1]) }, 'm.zero_scale'],
])('%s are refused by name', async (_, changes, name) => {
  const error = await rejection(resolve(changed(changes)));
  expect(UnsupportedCheckpointError.isInstance(error) && error.message).toContain(name);
});
