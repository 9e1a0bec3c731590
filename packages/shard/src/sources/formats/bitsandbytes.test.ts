import { floats, PackedTensor } from '@airllm/kernels';
import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import {
  type Bitsandbytes4bitSample,
  bitsandbytes4bitSample,
  bitsandbytesInt8Sample,
} from '../../testing/quantised-samples';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  rejection,
  SAMPLE_FILE,
  textTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { isConversion } from '../source';
import { bitsandbytes } from './bitsandbytes';

const WEIGHT = 'model.layers.0.mlp.up_proj.weight';
const STATE = `${WEIGHT}.quant_state.bitsandbytes__nf4`;

async function resolveOne({ tensors, quantisation }: RawSample, name = WEIGHT) {
  const resolved = await bitsandbytes.resolve(rawCheckpointOf({ tensors, quantisation: quantisation ?? null }));
  return { ...resolved, tensor: resolved.tensors.get(name)! };
}

/** By the definition, over the flattened matrix. */
function dequantised({ tensors }: RawSample, { shape, blockSize = 64, nested }: Bitsandbytes4bitSample): Float32Array {
  const numbersOf = (part: string) => floats('F32', tensors[WEIGHT + part]!.data);
  const { data } = tensors[WEIGHT]!;
  const map = numbersOf('.quant_map');
  const stored = tensors[`${WEIGHT}.absmax`]!;
  let absmax = nested ? new Float32Array(stored.data.length) : numbersOf('.absmax');
  if (nested) {
    const nestedMap = numbersOf('.nested_quant_map');
    const nestedAbsmax = numbersOf('.nested_absmax');
    const offset = Math.fround(0.0123);
    absmax = absmax.map((_, i) => Math.fround(nestedMap[stored.data[i]!]! * nestedAbsmax[i >> 8]!) + offset);
  }
  return Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => {
    const code = i % 2 === 0 ? data[i >> 1]! >> 4 : data[i >> 1]! & 15;
    return map[code]! * absmax[Math.floor(i / blockSize)]!;
  });
}

describe('4 bits', () => {
  test.each<[string, Bitsandbytes4bitSample, { flat?: true }]>([
    ['plain', { shape: [6, 128] }, {}],
    ['nested, with more than one nested block', { shape: [40, 512], nested: true }, {}],
    ['rows straddled by blocks', { shape: [7, 96] }, { flat: true }],
    ['straddled and nested', { shape: [301, 96], nested: true }, { flat: true }],
    ['blocks longer than rows', { shape: [9, 50], blockSize: 4096 }, { flat: true }],
    ['stored as bfloat16', { shape: [6, 128], storage: 'BF16', nested: true }, {}],
  ])('%s: in place, exact', async (_, sample, format) => {
    const raw = bitsandbytes4bitSample(sample);
    const { tensor, used } = await resolveOne(raw);
    if (!PackedTensor.isInstance(tensor)) throw new Error('expected a packed tensor');
    expect(tensor.shape).toEqual(sample.shape);
    expect(tensor.format).toMatchObject({ code: 'table4', nibbles: 'high', ...format });
    expect('flat' in tensor.format).toBe('flat' in format);
    expect(await decodeSourceTensor(tensor, CODECS)).toEqual(dequantised(raw, sample));
    expect([...used].sort()).toEqual(
      Object.keys(raw.tensors)
        .filter((name) => name.startsWith(WEIGHT))
        .sort(),
    );
    expect(tensor.components.codes!.literal!.buffer).toBe(raw.tensors[WEIGHT]!.data.buffer);
  });

  test.each<[string, Bitsandbytes4bitSample]>([
    ['odd rows', { shape: [4, 33] }],
    ['odd in both', { shape: [301, 65], nested: true }],
  ])('%s: rewritten as float32, exact', async (_, sample) => {
    const raw = bitsandbytes4bitSample(sample);
    const { tensor } = await resolveOne(raw);
    expect(isConversion(tensor) && tensor.output).toEqual({ dtype: 'F32' });
    expect(await decodeSourceTensor(tensor, CODECS)).toEqual(dequantised(raw, sample));
  });

  test('equal codebooks are in memory once', async () => {
    const one = bitsandbytes4bitSample({ shape: [2, 64] }, 1);
    const other = bitsandbytes4bitSample({ shape: [2, 64], name: 'other.weight' }, 2);
    const { tensors } = await resolveOne({ tensors: { ...one.tensors, ...other.tensors } });
    const literals = [...tensors.values()].map((t) => PackedTensor.isInstance(t) && t.components.constants!.literal);
    expect(literals).toHaveLength(2);
    expect(literals[0]).toBe(literals[1]);
  });
});

describe('LLM.int8()', () => {
  test('w = code · SCB / 127', async () => {
    const raw = bitsandbytesInt8Sample([5, 24]);
    const name = 'model.layers.0.self_attn.k_proj.weight';
    const { tensor, tensors, used } = await resolveOne(raw, name);
    const scb = floats('F32', raw.tensors['model.layers.0.self_attn.k_proj.SCB']!.data);
    const codes = new Int8Array(raw.tensors[name]!.data);
    const found = await decodeSourceTensor(tensor, CODECS);
    for (const [i, weight] of found.entries()) {
      const exact = (codes[i]! * scb[Math.floor(i / 24)]!) / 127;
      expect(Math.abs(weight - exact)).toBeLessThanOrEqual(2e-7 * Math.abs(exact));
    }
    expect([...tensors.keys()]).toEqual([name]);
    expect(used.has('model.layers.0.self_attn.k_proj.weight_format')).toBe(true);
    expect(used.has('model.layers.0.self_attn.k_proj.bias')).toBe(false);
  });

  test('the shuffled layouts of old kernels are refused by name', async () => {
    const raw = bitsandbytesInt8Sample([5, 24]);
    raw.tensors['model.layers.0.self_attn.k_proj.weight_format']!.data[0] = 2;
    const error = await rejection(resolveOne(raw));
    expect(UnsupportedCheckpointError.isInstance(error) && error.message).toContain('col_turing');
  });
});

test('what it is told by: the method, or what tensors are called', () => {
  const { tensors } = bitsandbytes4bitSample({ shape: [2, 64] });
  const detected = (sample: RawSample) => bitsandbytes.detect(rawCheckpointOf(sample));
  expect(detected({ tensors })).toBe(true);
  expect(detected({ tensors: bitsandbytesInt8Sample([2, 64]).tensors })).toBe(true);
  expect(detected({ tensors: {}, quantisation: { quant_method: 'bitsandbytes' } })).toBe(true);
  expect(detected({ tensors, quantisation: { quant_method: 'gptq' } })).toBe(false);
  expect(detected({ tensors: { 'model.norm.weight': tensors['model.norm.weight']! } })).toBe(false);
});

test('weights that are dense stay so, whatever the configuration says', async () => {
  const sample = { quantisation: { quant_method: 'bitsandbytes', load_in_4bit: true } };
  const { tensors, used } = await resolveOne({
    ...sample,
    tensors: { [WEIGHT]: floatTensor([2, 2], new Float32Array(4)) },
  });
  expect([tensors.size, used.size]).toEqual([0, 0]);
});

describe('malformed', () => {
  const nested = (state?: Record<string, unknown>) =>
    bitsandbytes4bitSample({ shape: [4, 64], nested: true, ...(state && { state }) }).tensors;
  const without = (part: string) => Object.fromEntries(Object.entries(nested()).filter(([name]) => name !== part));
  const withNumber = (part: string, value: number) => {
    const tensors = nested();
    new DataView(tensors[part]!.data.buffer).setFloat32(8, value, true);
    return tensors;
  };

  test.each<[string, RawSample['tensors'], string | RegExp]>([
    ['no weight', without(WEIGHT), STATE],
    ['no absmax', without(`${WEIGHT}.absmax`), WEIGHT],
    ['no map', without(`${WEIGHT}.quant_map`), WEIGHT],
    ['no nested absmax', without(`${WEIGHT}.nested_absmax`), WEIGHT],
    ['no nested map', without(`${WEIGHT}.nested_quant_map`), WEIGHT],
    ['no state', without(STATE), /absmax|quant_map/],
    ['no JSON', { ...nested(), [STATE]: textTensor('{"quant_type": nf4}') }, STATE],
    ['no UTF-8', { ...nested(), [STATE]: { ...textTensor('xx'), data: Uint8Array.of(0xff, 0xfe) } }, STATE],
    ['JSON, but no object', { ...nested(), [STATE]: textTensor('[1]') }, STATE],
    ['a deep nest', { ...nested(), [STATE]: textTensor('['.repeat(60_000)) }, STATE],
    ['a large state', { ...nested(), [STATE]: textTensor(' '.repeat(2 ** 20 + 1)) }, STATE],
    ['another type', nested({ quant_type: 'fp4' }), STATE],
    ['a block of 0', nested({ blocksize: 0 }), STATE],
    ['a block of 63', nested({ blocksize: 63 }), STATE],
    ['a nested block of 0', nested({ nested_blocksize: 0 }), STATE],
    ['an offset that is no number', nested({ nested_offset: '1' }), STATE],
    ['an offset beyond float32', nested({ nested_offset: 1e300 }), STATE],
    ['no shape', nested({ shape: undefined }), STATE],
    ['a shape of one', nested({ shape: [256] }), STATE],
    ['a negative shape', nested({ shape: [-4, -64] }), STATE],
    ['another shape', nested({ shape: [4, 66] }), WEIGHT],
    ['a huge shape', nested({ shape: [2 ** 40, 2 ** 40] }), WEIGHT],
    ['a NaN in the map', withNumber(`${WEIGHT}.quant_map`, Number.NaN), `${WEIGHT}.quant_map`],
    ['an infinite nested map', withNumber(`${WEIGHT}.nested_quant_map`, 1 / 0), `${WEIGHT}.nested_quant_map`],
    ['a map of 8', { ...nested(), [`${WEIGHT}.quant_map`]: floatTensor([8], new Float32Array(8)) }, /quant_map$/],
    ['integer weights', { ...nested(), [WEIGHT]: { ...nested()[WEIGHT]!, dtype: 'BOOL' } }, WEIGHT],
    ['absmax in float32', { ...nested(), [`${WEIGHT}.absmax`]: floatTensor([4], new Float32Array(4)) }, /absmax$/],
    ['too few absmax', { ...nested(), [`${WEIGHT}.absmax`]: textTensor('abc') }, /absmax$/],
    ['no SCB', { 'a.weight': { dtype: 'I8', shape: [2, 2], data: new Uint8Array(4) } }, 'a.weight'],
    ['no weight beside SCB', { 'a.SCB': floatTensor([2], new Float32Array(2)) }, 'a.SCB'],
  ])('%s', async (_, tensors, tensor) => {
    const error = await rejection(resolveOne({ tensors }));
    if (!FormatError.isInstance(error)) throw error;
    expect(error.file).toBe(SAMPLE_FILE);
    expect(error.tensor).toMatch(typeof tensor === 'string' ? new RegExp(`^${tensor}$`) : tensor);
  });

  test('stacks of matrices and unknown codebooks are refused by name', async () => {
    const stack = await rejection(resolveOne({ tensors: nested({ shape: [2, 2, 64] }) }));
    expect(UnsupportedCheckpointError.isInstance(stack) && stack.message).toContain(STATE);
    const { [STATE]: state, ...others } = nested();
    const unknown = await rejection(resolveOne({ tensors: { ...others, [STATE.replace('nf4', 'af4')]: state! } }));
    expect(UnsupportedCheckpointError.isInstance(unknown) && unknown.message).toContain('bitsandbytes__af4');
  });
});
