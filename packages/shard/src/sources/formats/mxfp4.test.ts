import { E2M1, floats } from '@airllm/kernels';
import { FormatError, MetaTensor } from '@airllm/loader';
import { expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { mxfp4Sample } from '../../testing/quantised-samples';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  rejection,
  SAMPLE_FILE,
  type SampleTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { mxfp4 } from './mxfp4';

const MODULE = 'model.layers.0.mlp.experts';
const STACK = `${MODULE}.down_proj`;

test('experts are ranges of the stacks, exact, with their biases', async () => {
  const [experts, rows, columns] = [3, 5, 96];
  const raw = mxfp4Sample({ experts, rows, columns });
  const { tensors, used } = await mxfp4.resolve(rawCheckpointOf(raw));
  expect([...used].sort()).toEqual([`${STACK}_bias`, `${STACK}_blocks`, `${STACK}_scales`]);
  expect([...tensors.keys()]).toEqual(
    [0, 1, 2].flatMap((e) => [`${MODULE}.${e}.down_proj.weight`, `${MODULE}.${e}.down_proj.bias`]),
  );
  const codes = raw.tensors[`${STACK}_blocks`]!.data;
  const scales = raw.tensors[`${STACK}_scales`]!.data;
  const biases = floats('BF16', raw.tensors[`${STACK}_bias`]!.data);
  for (let e = 0; e < experts; e++) {
    const expected = Float32Array.from({ length: rows * columns }, (_, k) => {
      const i = e * rows * columns + k;
      const code = i % 2 === 0 ? codes[i >> 1]! & 15 : codes[i >> 1]! >> 4;
      return E2M1[code]! * 2 ** (scales[i >> 5]! - 127);
    });
    expect(await decodeSourceTensor(tensors.get(`${MODULE}.${e}.down_proj.weight`)!, CODECS)).toEqual(expected);
    const bias = tensors.get(`${MODULE}.${e}.down_proj.bias`)!;
    expect(await decodeSourceTensor(bias, CODECS)).toEqual(biases.slice(e * rows, (e + 1) * rows));
    expect(MetaTensor.isInstance(bias) && bias.extent).toMatchObject({ offset: e * rows * 2, length: rows * 2 });
  }
});

test('without biases, and by names alone', async () => {
  const { tensors } = mxfp4Sample({ experts: 2, rows: 4, columns: 32 });
  const { [`${STACK}_bias`]: _, ...others } = tensors;
  expect(mxfp4.detect(rawCheckpointOf({ tensors: others }))).toBe(true);
  expect(mxfp4.detect(rawCheckpointOf({ tensors: others, quantisation: { quant_method: 'fp8' } }))).toBe(false);
  expect((await mxfp4.resolve(rawCheckpointOf({ tensors: others }))).tensors.size).toBe(2);
});

test.each<[string, Record<string, SampleTensor | undefined>, string]>([
  ['no scales', { scales: undefined }, 'blocks'],
  ['no blocks', { blocks: undefined }, 'scales'],
  ['three dimensions', { blocks: { dtype: 'U8', shape: [2, 4, 16], data: new Uint8Array(128) } }, 'blocks'],
  ['groups of 8', { blocks: { dtype: 'U8', shape: [2, 4, 2, 8], data: new Uint8Array(128) } }, 'blocks'],
  ['nothing', { blocks: { dtype: 'U8', shape: [2 ** 40, 4, 0, 16], data: new Uint8Array(0) } }, 'blocks'],
  ['too many experts', { blocks: { dtype: 'U8', shape: [4097, 1, 1, 16], data: new Uint8Array(65552) } }, 'blocks'],
  ['signed', { blocks: { dtype: 'I8', shape: [2, 4, 1, 16], data: new Uint8Array(128) } }, 'blocks'],
  ['scales of another shape', { scales: { dtype: 'U8', shape: [2, 1, 4], data: new Uint8Array(8) } }, 'scales'],
  ['scales of another dtype', { scales: floatTensor([2, 4, 1], new Float32Array(8)) }, 'scales'],
  ['a bias of another shape', { bias: floatTensor([8], new Float32Array(8)) }, 'bias'],
])('malformed: %s', async (_, changes, part) => {
  const raw: RawSample = mxfp4Sample({ experts: 2, rows: 4, columns: 32 });
  const changed = Object.entries(changes).map(([name, value]) => [`${STACK}_${name}`, value] as const);
  const entries = Object.entries({ ...raw.tensors, ...Object.fromEntries(changed) });
  const tensors = Object.fromEntries(entries.flatMap(([name, value]) => (value ? [[name, value]] : [])));
  const error = await rejection(mxfp4.resolve(rawCheckpointOf({ ...raw, tensors })));
  if (!FormatError.isInstance(error)) throw error;
  expect([error.file, error.tensor]).toEqual([SAMPLE_FILE, `${STACK}_${part}`]);
});
