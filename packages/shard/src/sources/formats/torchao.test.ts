import { E4M3, floats } from '@airllm/kernels';
import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { type TorchaoSample, torchaoSample } from '../../testing/quantised-samples';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  rejection,
  SAMPLE_FILE,
  type SampleTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { isConversion } from '../source';
import { torchao } from './torchao';

const MODULE = 'model.layers.0.self_attn.q_proj';
const resolve = (raw: RawSample) => torchao.resolve(rawCheckpointOf(raw));

test.each<[string, TorchaoSample, 'in place' | 'converted']>([
  ['int8 rows', { shape: [6, 40], block: [1, 40] }, 'in place'],
  ['int8 rows, all zero points 0', { shape: [6, 40], block: [1, 40], zeros: 'zero' }, 'in place'],
  ['int8 rows with zero points', { shape: [6, 40], block: [1, 40], zeros: 'any' }, 'converted'],
  ['int8 groups', { shape: [6, 64], block: [1, 32], type: 'IntxUnpackedToInt8Tensor', zeros: 'zero' }, 'in place'],
  ['int8 groups with zero points', { shape: [6, 80], block: [1, 32], zeros: 'any' }, 'converted'],
  ['int8, one scale and zero point', { shape: [6, 40], block: [6, 40], zeros: 'any' }, 'converted'],
  ['int8 blocks with zero points', { shape: [6, 40], block: [4, 8], zeros: 'any' }, 'converted'],
  ['float8 rows', { shape: [6, 40], block: [1, 40], type: 'Float8Tensor' }, 'in place'],
  ['float8, one scale', { shape: [6, 40], block: [6, 40], type: 'Float8Tensor' }, 'in place'],
  ['float8 blocks', { shape: [40, 48], block: [16, 32], type: 'Float8Tensor' }, 'in place'],
])('%s: exact, %s', async (_, sample, how) => {
  const raw = torchaoSample(sample);
  const { tensors, used } = await resolve(raw);
  const tensor = tensors.get(`${MODULE}.weight`)!;
  expect([tensors.size, isConversion(tensor) ? 'converted' : 'in place']).toEqual([1, how]);
  const [rows, columns] = sample.shape;
  const part = (name: string) => raw.tensors[`${MODULE}._weight_${name}`];
  const codes = part('qdata')!.data;
  const scales = floats('F32', part('scale')!.data);
  const zeros = part('zero_point') && new Int8Array(part('zero_point')!.data);
  const across = Math.ceil(columns / sample.block[1]);
  const expected = Float32Array.from({ length: rows * columns }, (_, i) => {
    const block = Math.floor(i / columns / sample.block[0]) * across + Math.floor((i % columns) / sample.block[1]);
    const code = sample.type === 'Float8Tensor' ? E4M3[codes[i]!]! : (codes[i]! << 24) >> 24;
    return (code - (zeros?.[block] ?? 0)) * scales[block]!;
  });
  expect(await decodeSourceTensor(tensor, CODECS)).toEqual(expected);
  expect([...used].sort()).toEqual(
    Object.keys(raw.tensors)
      .filter((name) => name.startsWith(MODULE))
      .sort(),
  );
});

test('static scales of activations are not needed', async () => {
  const sample = torchaoSample({
    shape: [2, 8],
    block: [1, 8],
    subclass: { _tensor_data_names: ['qdata', 'scale', 'act_quant_scale', 'act_quant_zero_point'] },
  });
  const scale = `${MODULE}._weight_act_quant_scale`;
  const tensors = { ...sample.tensors, [scale]: floatTensor([1], new Float32Array(1)) };
  const resolved = await resolve({ ...sample, tensors });
  expect([resolved.tensors.size, resolved.used.has(scale)]).toEqual([1, true]);
});

test('what it is told by: the method, or what tensors are called', () => {
  const { tensors } = torchaoSample({ shape: [2, 8], block: [1, 8] });
  expect(torchao.detect(rawCheckpointOf({ tensors }))).toBe(true);
  expect(torchao.detect(rawCheckpointOf({ tensors: {}, quantisation: { quant_method: 'torchao' } }))).toBe(true);
  expect(torchao.detect(rawCheckpointOf({ tensors, quantisation: { quant_method: 'hqq' } }))).toBe(false);
});

describe('refused by name', () => {
  const sample = { shape: [2, 8], block: [1, 8] } as const;
  test.each<[string, RawSample, string]>([
    ['another subclass', torchaoSample({ ...sample, type: 'Int4PreshuffledTensor' }), 'Int4PreshuffledTensor'],
    [
      'another part',
      torchaoSample({ ...sample, subclass: { _tensor_data_names: ['act_pre_scale'] } }),
      'act_pre_scale',
    ],
  ])('%s', async (_, raw, name) => {
    const error = await rejection(resolve(raw));
    expect(UnsupportedCheckpointError.isInstance(error) && error.message).toContain(name);
  });
});

describe('malformed', () => {
  const good = torchaoSample({ shape: [2, 8], block: [1, 8], zeros: 'any' });
  const part = (name: string, tensor: SampleTensor | undefined): RawSample => {
    const { [`${MODULE}._weight_${name}`]: _, ...others } = good.tensors;
    return { ...good, tensors: { ...others, ...(tensor && { [`${MODULE}._weight_${name}`]: tensor }) } };
  };
  const metadata = (text: string): RawSample => ({ ...good, metadata: { [`${MODULE}.weight`]: text } });
  const block = (block_size: unknown) =>
    torchaoSample({ shape: [2, 8], block: [1, 8], subclass: { _data: { block_size } } });
  const i8 = (...shape: number[]): SampleTensor => ({
    dtype: 'I8',
    shape,
    data: new Uint8Array(shape.reduce((product, size) => product * size, 1)),
  });

  test.each<[string, RawSample, string]>([
    ['no codes', part('qdata', undefined), 'scale'],
    ['no scales', part('scale', undefined), 'qdata'],
    ['too few scales', part('scale', floatTensor([1], new Float32Array(1))), 'scale'],
    ['integer scales', part('scale', i8(2, 1)), 'scale'],
    ['too few zero points', part('zero_point', i8(1)), 'zero_point'],
    ['floating zero points', part('zero_point', floatTensor([2, 1], new Float32Array(2))), 'zero_point'],
    ['codes of another dtype', part('qdata', { ...i8(2, 8), dtype: 'U8' }), 'qdata'],
    ['a vector', part('qdata', i8(16)), 'qdata'],
    ['no metadata', { ...good, metadata: {} }, 'qdata'],
    ['no JSON', metadata('{'), 'qdata'],
    ['null', metadata('null'), 'qdata'],
    ['no type', metadata('{}'), 'qdata'],
    ['long metadata', metadata(' '.repeat(70_000)), 'qdata'],
    ['no block', block(undefined), 'qdata'],
    ['blocks of 0', block([0, 8]), 'qdata'],
    ['blocks of half', block([0.5, 8]), 'qdata'],
    ['three dimensions of blocks', block([1, 1, 8]), 'qdata'],
    ['blocks larger than the matrix', block([1, 16]), 'qdata'],
  ])('%s', async (_, raw, name) => {
    const error = await rejection(resolve(raw));
    if (!FormatError.isInstance(error)) throw error;
    expect([error.file, error.tensor]).toEqual([SAMPLE_FILE, `${MODULE}._weight_${name}`]);
  });
});
