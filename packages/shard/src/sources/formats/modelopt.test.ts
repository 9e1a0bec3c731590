import { E2M1, E4M3, PackedTensor } from '@airllm/kernels';
import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { fp8Sample, nvfp4Sample } from '../../testing/quantised-samples';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  rejection,
  SAMPLE_FILE,
  type SampleTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { modelopt } from './modelopt';

const MODULE = 'model.layers.0.mlp.down_proj';
const resolve = (raw: RawSample) => modelopt.resolve(rawCheckpointOf(raw));

test.each([
  [4, 64],
  [5, 40],
] as const)('NVFP4 [%i, %i]: in place, w = E2M1 · (E4M3 scale · second scale)', async (rows, columns) => {
  const raw = nvfp4Sample([rows, columns]);
  const { tensors, used } = await resolve(raw);
  const tensor = tensors.get(`${MODULE}.weight`)!;
  if (!PackedTensor.isInstance(tensor)) throw new Error('expected a packed tensor');
  const codes = raw.tensors[`${MODULE}.weight`]!.data;
  const scales = raw.tensors[`${MODULE}.weight_scale`]!.data;
  const groups = Math.ceil(columns / 16);
  const factor = Math.fround(0.001953);
  const expected = Float32Array.from({ length: rows * columns }, (_, i) => {
    const code = i % 2 === 0 ? codes[i >> 1]! & 15 : codes[i >> 1]! >> 4;
    const scale = scales[Math.floor(i / columns) * groups + Math.floor((i % columns) / 16)]!;
    return E2M1[code]! * Math.fround(E4M3[scale]! * factor);
  });
  expect(await decodeSourceTensor(tensor, CODECS)).toEqual(expected);
  expect([...used].sort()).toEqual(Object.keys(raw.tensors).sort());
});

test('FP8 beside NVFP4 (mixed precision)', async () => {
  const nvfp4 = nvfp4Sample([4, 64]);
  const fp8 = fp8Sample({ shape: [8, 6], scaleName: 'weight_scale', scales: floatTensor([], Float32Array.of(0.5)) });
  const quantisation = { quant_method: 'modelopt', quant_algo: 'MIXED_PRECISION' };
  const { tensors } = await resolve({ quantisation, tensors: { ...nvfp4.tensors, ...fp8.tensors } });
  expect([...tensors].map(([name, tensor]) => [name, 'format' in tensor && tensor.format.code])).toEqual([
    [`${MODULE}.weight`, 'table4'],
    ['model.layers.0.mlp.experts.3.down_proj.weight', 'e4m3'],
  ]);
});

test('what it is told by: the method, the producer, or second scales', () => {
  const { tensors } = nvfp4Sample([4, 64]);
  const detected = (sample: RawSample) => modelopt.detect(rawCheckpointOf(sample));
  expect(detected({ tensors })).toBe(true);
  expect(detected({ tensors: {}, quantisation: { quant_method: 'modelopt' } })).toBe(true);
  expect(detected({ tensors: {}, quantisation: { producer: { name: 'modelopt' }, quantization: {} } })).toBe(true);
  expect(detected({ tensors, quantisation: { quant_method: 'fp8' } })).toBe(false);
  expect(detected({ tensors: {}, quantisation: { producer: null } })).toBe(false);
});

describe('refused by name', () => {
  const { tensors } = nvfp4Sample([4, 64]);
  const files = { 'hf_quant_config.json': { quantization: { quant_algo: 'W4A16_AWQ' } } };
  const stack = { dtype: 'U8', shape: [2, 4, 32], data: new Uint8Array(256) } as const;
  test.each<[string, RawSample, string]>([
    ['an algorithm of the config', { tensors, quantisation: { quant_algo: 'INT8_SQ' } }, 'INT8_SQ'],
    ['one in its own form', { tensors, quantisation: { quantization: { quant_algo: 'W4A8_AWQ' } } }, 'W4A8_AWQ'],
    ['one of the file beside it', { tensors, files }, 'W4A16_AWQ'],
    ['scaled activations', { tensors: { ...tensors, 'a.pre_quant_scale': stack } }, 'a.pre_quant_scale'],
    ['stacked experts', { tensors: { ...tensors, [`${MODULE}.weight`]: stack } }, `${MODULE}.weight`],
  ])('%s', async (_, raw, name) => {
    const error = await rejection(resolve(raw));
    expect(UnsupportedCheckpointError.isInstance(error) && error.message).toContain(name);
  });
});

test.each<[string, Record<string, SampleTensor | undefined>, string]>([
  ['no weight', { weight: undefined }, 'weight_scale_2'],
  ['no scales', { weight_scale: undefined }, 'weight'],
  ['no second scale', { weight_scale_2: undefined }, 'weight'],
  ['a NaN', { weight_scale_2: floatTensor([], Float32Array.of(Number.NaN)) }, 'weight_scale_2'],
  ['two second scales', { weight_scale_2: floatTensor([2], Float32Array.of(1, 1)) }, 'weight_scale_2'],
  [
    'scales of another shape',
    { weight_scale: { dtype: 'F8_E4M3', shape: [4, 2], data: new Uint8Array(8) } },
    'weight_scale',
  ],
  [
    'scales of another dtype',
    { weight_scale: { dtype: 'U8', shape: [4, 4], data: new Uint8Array(16) } },
    'weight_scale',
  ],
  ['a vector', { weight: { dtype: 'U8', shape: [128], data: new Uint8Array(128) } }, 'weight'],
])('malformed: %s', async (_, changes, tensor) => {
  const raw = nvfp4Sample([4, 64]);
  const changed = Object.entries(changes).map(([part, value]) => [`${MODULE}.${part}`, value] as const);
  const entries = Object.entries({ ...raw.tensors, ...Object.fromEntries(changed) });
  const tensors = Object.fromEntries(entries.flatMap(([name, value]) => (value ? [[name, value]] : [])));
  const error = await rejection(resolve({ ...raw, tensors }));
  if (!FormatError.isInstance(error)) throw error;
  expect([error.file, error.tensor]).toEqual([SAMPLE_FILE, `${MODULE}.${tensor}`]);
});
