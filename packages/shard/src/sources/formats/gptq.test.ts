import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { cpuSeconds } from '../../../../../.ci/cpu-seconds';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { awqSample, type GptqSampleOptions, gptqSample } from '../../testing/gptq-samples';
import { type RawSample, rawCheckpointOf, rejection } from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { awq } from './awq';
import { gptq } from './gptq';

const SHAPE = [64, 192] as const;
/** A permutation of groups, as act-order makes: each group has its columns, scattered. */
const scattered = (column: number) => ((column * 7) % 192) % 3;
const uneven = (column: number) => (column < 100 ? 0 : column < 130 ? 1 : 2);

describe('weights are those of the definition', () => {
  test.each<[string, GptqSampleOptions]>([
    ['2 bits', { shape: SHAPE, bits: 2, group: 64 }],
    ['3 bits', { shape: SHAPE, bits: 3, group: 64 }],
    ['4 bits', { shape: SHAPE, bits: 4, group: 64 }],
    ['8 bits', { shape: SHAPE, bits: 8, group: 64 }],
    ['symmetric', { shape: SHAPE, bits: 4, group: 32, symmetric: true }],
    ['symmetric, mislabelled', { shape: SHAPE, bits: 4, group: 32, symmetric: true, version2: true }],
    ['version 2', { shape: SHAPE, bits: 4, group: 64, version2: true }],
    ['version 2, 3 bits', { shape: SHAPE, bits: 3, group: 64, version2: true }],
    ['one group', { shape: SHAPE, bits: 4, group: 192, quantisation: { group_size: -1 } }],
    ['a short last group', { shape: SHAPE, bits: 4, group: 128 }],
    ['a group for each column', { shape: SHAPE, bits: 4, group: 64, groupOf: (k) => Math.floor(k / 64) }],
    ['act-order', { shape: SHAPE, bits: 4, group: 64, groupOf: scattered }],
    ['act-order, 3 bits', { shape: SHAPE, bits: 3, group: 64, groupOf: scattered }],
    ['act-order, 8 bits', { shape: SHAPE, bits: 8, group: 64, groupOf: scattered }],
    ['groups of unequal size', { shape: SHAPE, bits: 4, group: 64, groupOf: uneven }],
    ['bits by a rule of dynamic', { shape: SHAPE, bits: 8, group: 64, quantisation: { bits: 4 } }],
    ['rows of two ranges', { shape: [96, 64], bits: 3, group: 32 }],
  ])('%s', async (_, options) => {
    const { sample, weights } = gptqSample(options);
    const { tensors, used } = await gptq.resolve(rawCheckpointOf(sample));
    expect([...used].filter((name) => name in sample.tensors).sort()).toEqual(Object.keys(sample.tensors).sort());
    const tensor = tensors.get('m.weight')!;
    expect(tensor.shape).toEqual(options.shape);
    // Borrows of version 1 leave one choice open at 0: stored as all ones, it comes back.
    expect(await decodeSourceTensor(tensor, CODECS)).toEqual(weights);
  });

  test('a rule that makes one module asymmetric', async () => {
    const dynamic = { '-:other': {}, '+:m': { sym: false } };
    const { sample, weights } = gptqSample({ shape: SHAPE, bits: 4, group: 64, quantisation: { sym: true, dynamic } });
    const { tensors } = await gptq.resolve(rawCheckpointOf(sample));
    expect(await decodeSourceTensor(tensors.get('m.weight')!, CODECS)).toEqual(weights);
  });

  test.each([
    [[64, 192], 64],
    [[16, 66], 66],
    [[8, 2], 1],
  ] as const)('AWQ %j in groups of %d', async (shape, group) => {
    const { sample, weights } = awqSample(shape, group);
    const raw = rawCheckpointOf(sample);
    expect([awq.detect(raw), gptq.detect(raw)]).toEqual([true, false]);
    const { tensors } = await awq.resolve(raw);
    expect(await decodeSourceTensor(tensors.get('m.weight')!, CODECS)).toEqual(weights);
  });
});

describe('what makes no sense is refused by name', () => {
  const without = (sample: RawSample, name: string): RawSample => {
    const { [name]: _, ...tensors } = sample.tensors;
    return { ...sample, tensors };
  };
  const { sample } = gptqSample({ shape: SHAPE, bits: 4, group: 64 });
  const refusal = (changed: RawSample) => rejection(gptq.resolve(rawCheckpointOf(changed)));

  test('zero points that are missing', async () => {
    const error = await refusal(without(sample, 'm.qzeros'));
    expect(FormatError.isInstance(error) && error.tensor).toBe('m.qweight');
  });

  test('a column in a group that is not there', async () => {
    const { sample } = gptqSample({ shape: SHAPE, bits: 4, group: 64, groupOf: (k) => Math.floor(k / 64) });
    sample.tensors['m.g_idx']!.data[3] = 200;
    const error = await refusal(sample);
    expect(FormatError.isInstance(error) && error.tensor).toBe('m.g_idx');
  });

  test('layouts that are known and not supported', async () => {
    const variants = [
      { ...sample, quantisation: { quant_method: 'gptq', checkpoint_format: 'marlin' } },
      { ...sample, quantisation: { quant_method: 'marlin' } },
    ];
    for (const variant of variants) expect(UnsupportedCheckpointError.isInstance(await refusal(variant))).toBe(true);
    for (const change of [{ version: 'gemv' }, { version: 'gemv_fast' }, { bits: 8 }]) {
      const { sample } = awqSample([64, 64], 32);
      const changed = { ...sample, quantisation: { ...sample.quantisation, ...change } };
      const error = await rejection(awq.resolve(rawCheckpointOf(changed)));
      expect(UnsupportedCheckpointError.isInstance(error)).toBe(true);
    }
  });

  test('a rule that would be slow to match is left alone', async () => {
    const dynamic = { '+:(a+)+$': { sym: true } };
    const quantisation = { ...sample.quantisation, dynamic };
    const resolve = () => gptq.resolve(rawCheckpointOf({ ...sample, quantisation }));
    expect((await cpuSeconds(resolve)).seconds).toBeLessThan(20);
  });
});
