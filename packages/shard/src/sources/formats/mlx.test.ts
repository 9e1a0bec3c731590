import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { affineSample, floatSample } from '../../testing/mlx-samples';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  rejection,
  SAMPLE_FILE,
  type SampleTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { isConversion, type SourceTensor } from '../source';
import { mlx } from './mlx';

const MODULE = 'model.layers.0.mlp.up_proj';
const resolve = (raw: RawSample, config: Record<string, unknown> = {}) =>
  mlx.resolve({ ...rawCheckpointOf(raw), config });
const kindOf = (tensor: SourceTensor) => (isConversion(tensor) ? 'converted' : 'in place');
const numbersOf = (tensor: SourceTensor) => decodeSourceTensor(tensor, CODECS);

test.each([
  [2, 32, 'converted'],
  [3, 32, 'converted'],
  [4, 64, 'in place'],
  [4, 32, 'in place'],
  [5, 32, 'converted'],
  [6, 128, 'converted'],
  [8, 32, 'in place'],
] as const)('%i bits in groups of %i: %s, w = code · scale + bias', async (bits, group, how) => {
  for (const shape of [
    [7, 128],
    [3, 384],
  ] as const) {
    const { sample, weights } = affineSample({ shape, bits, group });
    expect(mlx.detect(rawCheckpointOf(sample))).toBe(true);
    const { tensors, used } = await resolve(sample);
    expect([...tensors.keys()]).toEqual([`${MODULE}.weight`]);
    expect([...used].sort()).toEqual(
      Object.keys(sample.tensors)
        .filter((name) => !name.endsWith('.bias'))
        .sort(),
    );
    const tensor = tensors.get(`${MODULE}.weight`)!;
    expect(tensor.shape).toEqual(shape);
    expect(await numbersOf(tensor)).toEqual(weights);
    expect(kindOf(tensor)).toBe(how);
  }
});

test.each([
  ['nvfp4', undefined],
  ['nvfp4', 0.75],
  ['mxfp4', undefined],
  ['mxfp8', undefined],
] as const)('%s, global scale %s: in place', async (mode, global) => {
  const { sample, weights } = floatSample({ shape: [5, 96], mode, ...(global && { global }) });
  const { tensors, used } = await resolve(sample);
  const tensor = tensors.get(`${MODULE}.weight`)!;
  expect(await numbersOf(tensor)).toEqual(weights);
  expect(kindOf(tensor)).toBe('in place');
  expect(used.size).toBe(Object.keys(sample.tensors).length);
});

test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
  ['an entry of its own', { bits: 4, group_size: 64, [MODULE]: { bits: 8, group_size: 32 } }, {}],
  [
    'MLX’s own key, not that of the model it was made from',
    { quant_method: 'fp8' },
    { quantization: { bits: 8, group_size: 32 } },
  ],
  ['the size of a layer, where the configuration does not fit', { bits: 5, group_size: 64 }, { hidden_size: 128 }],
  ['the size of a layer, where it says nothing', {}, { text_config: { intermediate_size: 128 } }],
  ['the width of attention', { [MODULE]: true }, { num_attention_heads: 8, head_dim: 16 }],
])('which codes they are is told by %s', async (_, quantisation, config) => {
  const { sample, weights } = affineSample({ shape: [4, 128], bits: 8, group: 32, quantisation });
  const { tensors } = await resolve(sample, config);
  expect(await numbersOf(tensors.get(`${MODULE}.weight`)!)).toEqual(weights);
});

test('an entry without a width has MLX’s default, not that of the others', async () => {
  const quantisation = { bits: 8, group_size: 32, [MODULE]: { mode: 'affine' } };
  const { sample, weights } = affineSample({ shape: [4, 128], bits: 4, group: 64, quantisation });
  const { tensors } = await resolve(sample);
  expect(await numbersOf(tensors.get(`${MODULE}.weight`)!)).toEqual(weights);
});

test.each<[string, string, Record<string, unknown>]>([
  ['model.layers.0.mlp.switch_mlp.up_proj', 'model.layers.0.mlp.experts.1.up_proj', {}],
  ['model.layers.0.experts.switch_glu.up_proj', 'model.layers.0.experts.1.up_proj', {}],
  ['model.layers.0.mlp.experts.up_proj', 'model.layers.0.mlp.experts.1.up_proj', {}],
  ['model.layers.0.block_sparse_moe.switch_mlp.up_proj', 'model.layers.0.block_sparse_moe.experts.1.w3', {}],
  [
    'model.layers.0.block_sparse_moe.switch_mlp.up_proj',
    'model.layers.0.block_sparse_moe.experts.1.up_proj',
    { model_type: 'granitemoe' },
  ],
])('experts of %s are %s', async (module, expert, config) => {
  for (const bits of [4, 6]) {
    const { sample, weights } = affineSample({ shape: [4, 64], bits, group: 32, experts: 3, module });
    const { tensors } = await resolve(sample, config);
    expect(tensors.size).toBe(6);
    expect(await numbersOf(tensors.get(`${expert}.weight`)!)).toEqual(weights.slice(256, 512));
    const biases = await decodeSourceTensor(rawCheckpointOf(sample).tensors.get(`${module}.bias`)!, []);
    expect(await numbersOf(tensors.get(`${expert}.bias`)!)).toEqual(biases.slice(4, 8));
  }
});

test.each([1, 2, 3])('gpt-oss: gates and ups of %i experts take turns, as in transformers', async (experts) => {
  const options = { shape: [6, 64], bits: 4, group: 32, experts } as const;
  const stack = 'model.layers.0.mlp.experts';
  const gate = affineSample({ ...options, module: `${stack}.gate_proj` }, 1);
  const up = affineSample({ ...options, module: `${stack}.up_proj` }, 2);
  const tensors = { ...gate.sample.tensors, ...up.sample.tensors };
  const raw = { quantisation: { bits: 4, group_size: 32 }, tensors };
  const found = await resolve(raw, { model_type: 'gpt_oss' });
  const names = Array.from({ length: options.experts }, (_, e) => `${stack}.${e}.gate_up_proj`);
  expect([...found.tensors.keys()].sort()).toEqual(names.flatMap((name) => [`${name}.bias`, `${name}.weight`]));
  for (const [e, name] of names.entries()) {
    const weights = await numbersOf(found.tensors.get(`${name}.weight`)!);
    const bias = await numbersOf(found.tensors.get(`${name}.bias`)!);
    for (const [side, { sample, weights: own }] of [gate, up].entries()) {
      const biases = rawCheckpointOf(sample).tensors.get(`${stack}.${['gate', 'up'][side]}_proj.bias`)!;
      const ownBias = await numbersOf(biases);
      for (let row = 0; row < 6; row++) {
        const at = (6 * e + row) * 64;
        expect(weights.slice((2 * row + side) * 64, (2 * row + side + 1) * 64)).toEqual(own.slice(at, at + 64));
        expect(bias[2 * row + side]).toBe(ownBias[6 * e + row]);
      }
    }
  }
});

test('experts that are not quantised are ranges as well', async () => {
  const numbers = Float32Array.from({ length: 24 }, (_, i) => i);
  const sample = { tensors: { 'a.mlp.switch_mlp.up_proj.weight': floatTensor([2, 3, 4], numbers) } };
  expect(mlx.detect(rawCheckpointOf(sample))).toBe(true);
  const { tensors } = await resolve(sample);
  expect([...tensors.keys()]).toEqual(['a.mlp.experts.0.up_proj.weight', 'a.mlp.experts.1.up_proj.weight']);
  expect(await numbersOf(tensors.get('a.mlp.experts.1.up_proj.weight')!)).toEqual(numbers.slice(12));
});

test('plain checkpoints, and GPTQ’s, are not MLX’s', () => {
  const int = { dtype: 'I32', shape: [2, 2], data: new Uint8Array(16) } as const;
  const tensors = { 'm.weight': floatTensor([2, 2], new Float32Array(4)), 'm.scales': int, 'm.qweight': int };
  expect(mlx.detect(rawCheckpointOf({ tensors, quantisation: { bits: 4, group_size: 64 } }))).toBe(false);
});

const { tensors: GOOD } = affineSample({ shape: [4, 128], bits: 4, group: 64 }).sample;
const { tensors: FLOATS } = floatSample({ shape: [4, 128], mode: 'mxfp4' }).sample;
const u32 = (...shape: number[]): SampleTensor => {
  return { dtype: 'U32', shape, data: new Uint8Array(4 * shape.reduce((product, size) => product * size, 1)) };
};
const floats = (...shape: number[]) => floatTensor(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
const u8 = (...shape: number[]): SampleTensor => {
  return { dtype: 'U8', shape, data: new Uint8Array(shape.reduce((product, size) => product * size, 1)) };
};

const sampleOf = (tensors: RawSample['tensors'], changes: Record<string, SampleTensor | undefined>): RawSample => {
  const renamed = Object.entries(changes).map(([part, tensor]) => [`${MODULE}.${part}`, tensor] as const);
  const entries = Object.entries({ ...tensors, ...Object.fromEntries(renamed) });
  return {
    quantisation: { bits: 4, group_size: 64 },
    tensors: Object.fromEntries(entries.flatMap(([name, tensor]) => (tensor ? [[name, tensor]] : []))),
  };
};

test.each<[string, RawSample['tensors'], Record<string, SampleTensor | undefined>, string]>([
  ['no scales', GOOD, { scales: undefined }, 'weight'],
  ['no biases', GOOD, { biases: undefined }, 'weight'],
  ['no weight', GOOD, { weight: undefined }, 'scales'],
  ['a dense weight', GOOD, { weight: floats(4, 128) }, 'weight'],
  ['a vector', GOOD, { weight: u32(64) }, 'weight'],
  ['no rows', GOOD, { weight: u32(0, 16) }, 'weight'],
  ['scales of other rows', GOOD, { scales: floats(3, 2) }, 'scales'],
  ['no groups', GOOD, { scales: floats(4, 0), biases: floats(4, 0) }, 'scales'],
  ['fewer biases than scales', GOOD, { biases: floats(4, 1) }, 'biases'],
  ['integer biases', GOOD, { biases: u8(4, 2) }, 'biases'],
  ['a width that is none', GOOD, { weight: u32(4, 17) }, 'weight'],
  ['seven bits', GOOD, { weight: u32(4, 28) }, 'weight'],
  ['a global scale beside floats', GOOD, { global_scale: floats() }, 'scales'],
  ['biases beside bytes of scale', FLOATS, { biases: floats(4, 4) }, 'biases'],
  ['a global scale of mxfp4', FLOATS, { global_scale: floats() }, 'weight'],
  ['bytes of scale that fit no mode', FLOATS, { scales: u8(4, 5) }, 'weight'],
  ['two global scales', FLOATS, { global_scale: floats(2) }, 'global_scale'],
])('malformed: %s', async (_, tensors, changes, part) => {
  const error = await rejection(resolve(sampleOf(tensors, changes)));
  if (!FormatError.isInstance(error)) throw error;
  expect([error.file, error.tensor]).toEqual([SAMPLE_FILE, `${MODULE}.${part}`]);
});

test('stacks that may be anything, and of more experts than there are', async () => {
  const stack = affineSample({ shape: [4, 64], bits: 4, group: 32, experts: 3, module: 'a.self_attn.embed_q' }).sample;
  const error = await rejection(resolve(stack));
  expect(UnsupportedCheckpointError.isInstance(error) && error.message).toContain('a.self_attn.embed_q.weight');
  const odd = { bits: 3, group: 32, shape: [4, 64], experts: 2 } as const;
  const parts = ['gate_proj', 'up_proj'].map(
    (name) => affineSample({ ...odd, module: `a.experts.${name}` }).sample.tensors,
  );
  const gptOss = { tensors: Object.assign({}, ...parts), quantisation: { bits: 3, group_size: 32 } };
  const refused = await rejection(resolve(gptOss, { model_type: 'gpt_oss' }));
  expect(UnsupportedCheckpointError.isInstance(refused) && refused.message).toContain('a.experts.0.gate_proj.weight');
  const many = {
    'a.mlp.switch_mlp.up_proj.weight': u32(5000, 1, 4),
    'a.mlp.switch_mlp.up_proj.scales': floats(5000, 1, 1),
    'a.mlp.switch_mlp.up_proj.biases': floats(5000, 1, 1),
  };
  const other = await rejection(resolve({ tensors: many, quantisation: { bits: 4, group_size: 32 } }));
  expect(FormatError.isInstance(other) && other.tensor).toBe('a.mlp.switch_mlp.up_proj.weight');
});

test('more experts in all than any model has', async () => {
  const stacks = Array.from({ length: 26 }, (_, layer) => `layers.${layer}.mlp.switch_mlp.up_proj.weight`);
  const tensors = Object.fromEntries(stacks.map((name) => [name, floatTensor([4096, 1, 1], new Float32Array(4096))]));
  const error = await rejection(resolve({ tensors }));
  expect(FormatError.isInstance(error) && error.tensor).toBe(stacks[24]);
});
