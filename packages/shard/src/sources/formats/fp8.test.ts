import { E4M3, floats, PackedTensor } from '@airllm/kernels';
import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { fp8Sample, type Shape } from '../../testing/quantised-samples';
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
import { fbgemm } from './fbgemm';
import { fp8 } from './fp8';

const WEIGHT = 'model.layers.0.mlp.experts.3.down_proj.weight';
const BLOCKS = { quant_method: 'fp8', weight_block_size: [128, 128] };

const scalesOf = (shape: readonly number[], dtype: 'F32' | 'BF16' = 'F32') => {
  const count = shape.reduce((product, size) => product * size, 1);
  return floatTensor(shape, new SampleNumbers(7).scales(count), dtype);
};
const powers = (shape: Shape, dtype: 'U8' | 'F8_E8M0'): SampleTensor => ({
  dtype,
  shape,
  data: new SampleNumbers(7).bytes(shape[0] * shape[1], 30).map((exponent) => 100 + exponent),
});
const numbersOf = ({ dtype, data }: SampleTensor) =>
  dtype === 'F32' || dtype === 'BF16' ? floats(dtype, data) : Float32Array.from(data, (byte) => 2 ** (byte - 127));

test.each<[string, Shape, Shape, Parameters<typeof fp8Sample>[0]]>([
  ['blocks', [256, 384], [128, 128], { shape: [256, 384], scales: scalesOf([2, 3]), quantisation: BLOCKS }],
  ['ragged blocks', [200, 300], [128, 128], { shape: [200, 300], scales: scalesOf([2, 3]), quantisation: BLOCKS }],
  [
    'bfloat16 scales',
    [130, 140],
    [128, 128],
    { shape: [130, 140], scales: scalesOf([2, 2], 'BF16'), quantisation: BLOCKS },
  ],
  [
    'powers of two',
    [130, 140],
    [128, 128],
    { shape: [130, 140], scales: powers([2, 2], 'F8_E8M0'), quantisation: BLOCKS },
  ],
  ['the same in U8', [130, 140], [128, 128], { shape: [130, 140], scales: powers([2, 2], 'U8'), quantisation: BLOCKS }],
  [
    'other blocks',
    [20, 40],
    [16, 8],
    { shape: [20, 40], scales: scalesOf([2, 5]), quantisation: { weight_block_size: [16, 8] } },
  ],
  ['less than a block', [20, 40], [128, 128], { shape: [20, 40], scales: scalesOf([1, 1]), quantisation: BLOCKS }],
  ['DeepSeek’s own names', [130, 40], [128, 128], { shape: [130, 40], scaleName: 'scale', scales: scalesOf([2, 1]) }],
  ['Mistral’s own names', [130, 40], [130, 40], { shape: [130, 40], scaleName: 'qscale_weight', scales: scalesOf([]) }],
  ['no configuration', [130, 40], [128, 128], { shape: [130, 40], scales: scalesOf([2, 1]), quantisation: null }],
  [
    'one scale',
    [8, 6],
    [8, 6],
    { shape: [8, 6], scales: scalesOf([], 'BF16'), quantisation: { weight_block_size: null } },
  ],
  ['AutoFP8', [8, 6], [8, 6], { shape: [8, 6], scaleName: 'weight_scale', scales: scalesOf([1]) }],
  ['rows', [8, 6], [1, 6], { shape: [8, 6], scaleName: 'weight_scale', scales: scalesOf([8, 1]) }],
  ['rows, one dimension', [8, 6], [1, 6], { shape: [8, 6], scaleName: 'weight_scale', scales: scalesOf([8]) }],
])('%s: in place, w = code · scale in float32', async (_, [rows, columns], block, sample) => {
  const raw = fp8Sample(sample);
  const { tensors, used } = await fp8.resolve(rawCheckpointOf(raw));
  expect([...tensors.keys()]).toEqual([WEIGHT]);
  const tensor = tensors.get(WEIGHT)!;
  if (!PackedTensor.isInstance(tensor)) throw new Error('expected a packed tensor');
  expect(tensor.format.block).toEqual({ rows: block[0], columns: block[1] });
  const scales = numbersOf(sample.scales);
  const across = Math.ceil(columns / block[1]);
  const expected = Float32Array.from({ length: rows * columns }, (_, i) => {
    const [n, k] = [Math.floor(i / columns), i % columns];
    return E4M3[raw.tensors[WEIGHT]!.data[i]!]! * scales[Math.floor(n / block[0]) * across + Math.floor(k / block[1])]!;
  });
  expect(await decodeSourceTensor(tensor, CODECS)).toEqual(expected);
  expect(used.has('model.layers.0.self_attn.k_proj.k_scale')).toBe(true);
  expect(used.has('model.layers.0.mlp.experts.3.down_proj.input_scale')).toBe(true);
  expect(used.has('model.layers.0.input_layernorm.scale')).toBe(false);
});

test('what it is told by: the method, or FP8 weights with scales beside them', () => {
  const { tensors } = fp8Sample({ shape: [8, 6], scales: scalesOf([]) });
  const detected = (quantisation: Record<string, unknown> | null) =>
    fp8.detect(rawCheckpointOf({ tensors, quantisation }));
  expect([detected({ quant_method: 'fp8' }), detected(null), detected({})]).toEqual([true, true, true]);
  expect(detected({ quant_method: 'compressed-tensors' })).toBe(false);
  expect(fp8.detect(rawCheckpointOf({ tensors: { [WEIGHT]: tensors[WEIGHT]! } }))).toBe(false);
  expect(fbgemm.detect(rawCheckpointOf({ tensors, quantisation: { quant_method: 'fbgemm_fp8' } }))).toBe(true);
  expect(fbgemm.detect(rawCheckpointOf({ tensors }))).toBe(false);
});

describe('malformed', () => {
  const sample = (scales: SampleTensor, quantisation: Record<string, unknown> = BLOCKS, shape: Shape = [192, 192]) =>
    fp8Sample({ shape, scales, quantisation });
  const changed = (raw: RawSample, name: string, tensor: SampleTensor | undefined): RawSample => {
    const { [name]: _, ...others } = raw.tensors;
    return { ...raw, tensors: tensor ? { ...others, [name]: tensor } : others };
  };
  const SCALES = `${WEIGHT}_scale_inv`;
  const good = sample(scalesOf([2, 2]));

  test.each<[string, RawSample, string | undefined]>([
    ['too few scales', sample(scalesOf([1, 2])), SCALES],
    ['scales transposed', sample(scalesOf([1, 2]), BLOCKS, [192, 100]), SCALES],
    ['a scale per row, but blocks', sample(scalesOf([192, 1])), SCALES],
    ['a flat list of blocks', sample(scalesOf([4])), SCALES],
    ['rows that do not fit', sample(scalesOf([191, 1]), {}), SCALES],
    ['integer scales', sample({ dtype: 'I8', shape: [2, 2], data: new Uint8Array(4) }), SCALES],
    ['no scales', changed(good, SCALES, undefined), WEIGHT],
    ['no weight', changed(good, WEIGHT, undefined), SCALES],
    ['a dense weight', changed(good, WEIGHT, floatTensor([192, 192], new Float32Array(192 * 192))), WEIGHT],
    ['a vector', changed(good, WEIGHT, { dtype: 'F8_E4M3', shape: [4], data: new Uint8Array(4) }), WEIGHT],
    ['nothing', changed(good, WEIGHT, { dtype: 'F8_E4M3', shape: [0, 192], data: new Uint8Array(0) }), WEIGHT],
    ['blocks of 0', sample(scalesOf([2, 2]), { weight_block_size: [0, 128] }), undefined],
    ['one number for blocks', sample(scalesOf([2, 2]), { weight_block_size: 128 }), undefined],
  ])('%s', async (_, raw, tensor) => {
    const error = await rejection(fp8.resolve(rawCheckpointOf(raw)));
    if (!FormatError.isInstance(error)) throw error;
    expect([error.file, error.tensor]).toEqual([tensor ? SAMPLE_FILE : '/sample/config.json', tensor]);
  });

  test.each<[string, SampleTensor]>([
    ['F8_E5M2', { dtype: 'F8_E5M2', shape: [2, 2], data: new Uint8Array(4) }],
    ['F8_E4M3FNUZ', { dtype: 'F8_E4M3FNUZ', shape: [2, 2], data: new Uint8Array(4) }],
    ['a stack', { dtype: 'F8_E4M3', shape: [2, 2, 2], data: new Uint8Array(8) }],
  ])('%s is refused by name', async (what, weight) => {
    const error = await rejection(fp8.resolve(rawCheckpointOf(changed(good, WEIGHT, weight))));
    if (!UnsupportedCheckpointError.isInstance(error)) throw error;
    expect(error.message).toContain(WEIGHT);
    expect(error.message).toContain(what);
  });
});
