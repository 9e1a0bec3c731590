import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { packedIntegersSample } from '../../testing/compressed-tensors-samples';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { awqSample, gptqSample } from '../../testing/gptq-samples';
import { hqqSample } from '../../testing/hqq-samples';
import { affineSample, floatSample } from '../../testing/mlx-samples';
import {
  bitsandbytes4bitSample,
  bitsandbytesInt8Sample,
  fp8Sample,
  mxfp4Sample,
  nvfp4Sample,
  torchaoSample,
} from '../../testing/quantised-samples';
import {
  floatTensor,
  type RawSample,
  rawCheckpointOf,
  SampleNumbers,
  type SampleTensor,
  textTensor,
} from '../../testing/raw-sample';
import { CODECS } from '../codecs/registry';
import { FORMATS } from './registry';

const SAMPLES: readonly [name: string, sample: RawSample][] = [
  ['awq', awqSample([16, 32], 16).sample],
  ['gptq', gptqSample({ shape: [32, 64], bits: 4, group: 32, groupOf: (k) => k % 2 }).sample],
  ['gptq', gptqSample({ shape: [32, 64], bits: 3, group: 32 }).sample],
  ['bitsandbytes', bitsandbytes4bitSample({ shape: [6, 96], nested: true })],
  ['bitsandbytes', bitsandbytes4bitSample({ shape: [5, 33] })],
  ['bitsandbytes', bitsandbytesInt8Sample([4, 12])],
  ['compressed-tensors', packedIntegersSample({ shape: [6, 32], bits: 4, group: 16 }).sample],
  [
    'compressed-tensors',
    packedIntegersSample({ shape: [9, 64], bits: 3, group: 16, zeros: 'packed', groupOf: (k) => k % 4 }).sample,
  ],
  [
    'compressed-tensors',
    packedIntegersSample({ shape: [5, 24], bits: 8, plain: true, group: 8, zeros: 'bytes' }).sample,
  ],
  [
    'fp8',
    fp8Sample({
      shape: [20, 24],
      scales: floatTensor([2, 3], new Float32Array(6).fill(1)),
      quantisation: { quant_method: 'fp8', weight_block_size: [16, 8], modules_to_not_convert: ['lm_head'] },
    }),
  ],
  ['hqq', hqqSample({ shape: [6, 32], bits: 4, group: 16 }).sample],
  ['hqq', hqqSample({ shape: [6, 20], bits: 3, group: 8, axis: 0 }).sample],
  ['mlx', affineSample({ shape: [3, 64], bits: 3, group: 32 }).sample],
  ['mlx', affineSample({ shape: [3, 64], bits: 4, group: 32, experts: 2, module: 'a.mlp.switch_mlp.up_proj' }).sample],
  ['mlx', floatSample({ shape: [3, 64], mode: 'nvfp4', global: 0.5 }).sample],
  ['modelopt', nvfp4Sample([4, 32])],
  ['mxfp4', mxfp4Sample({ experts: 2, rows: 3, columns: 64 })],
  ['torchao', torchaoSample({ shape: [4, 16], block: [1, 8], zeros: 'any' })],
];

const ROUNDS = 400;
/** What a damaged number may become. */
const ODD: readonly unknown[] = [
  0,
  -1,
  0.5,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  null,
  true,
  'x',
  [],
  {},
  [[]],
  Number.NaN,
];

/** One change of one part: what hostile or broken uploads have. */
function damaged(sample: RawSample, numbers: SampleNumbers): RawSample {
  const names = Object.keys(sample.tensors);
  const name = names[numbers.next(names.length)]!;
  const tensor = sample.tensors[name]!;
  const change = (changed: SampleTensor | undefined): RawSample => {
    const { [name]: _, ...others } = sample.tensors;
    return { ...sample, tensors: changed ? { ...others, [name]: changed } : others };
  };
  switch (numbers.next(6)) {
    case 0:
      return change(undefined);
    case 1: {
      // Every byte may be any other: blobs are text, tables are numbers.
      const data = tensor.data.slice();
      for (let i = 0; i <= numbers.next(4); i++) data[numbers.next(data.length)] = numbers.next(256);
      return change({ ...tensor, data });
    }
    case 2:
      return change(fitting(tensor, ['U8', 'I8', 'F8_E4M3', 'F8_E8M0', 'F16', 'F32', 'I64', 'BOOL'], numbers));
    case 3: {
      const [first = 1, ...rest] = tensor.shape;
      return change({
        ...tensor,
        shape: [
          [...rest, first],
          [1, first, ...rest],
          [first, ...rest, 1],
        ][numbers.next(3)]!,
      });
    }
    case 4:
      return change({ ...tensor, data: tensor.data.slice(0, 0), shape: [0, ...tensor.shape.slice(1)] });
    default: {
      const metadata = Object.fromEntries(
        Object.entries(sample.metadata ?? {}).map(([key, text]) => [key, oneCharacter(text, numbers)]),
      );
      return { ...sample, metadata, quantisation: oddValue(sample.quantisation ?? {}, numbers) };
    }
  }
}

function fitting(tensor: SampleTensor, dtypes: readonly SampleTensor['dtype'][], numbers: SampleNumbers): SampleTensor {
  const dtype = dtypes[numbers.next(dtypes.length)]!;
  const width = { F16: 2, F32: 4, I64: 8 }[dtype as string] ?? 1;
  const count = Math.floor(tensor.data.length / width);
  return { dtype, shape: [count], data: tensor.data.slice(0, count * width) };
}

function oneCharacter(text: string, numbers: SampleNumbers): string {
  const at = numbers.next(text.length);
  return text.slice(0, at) + String.fromCharCode(numbers.next(128)) + text.slice(at + 1);
}

function oddValue(config: Record<string, unknown>, numbers: SampleNumbers): Record<string, unknown> {
  const keys = Object.keys(config);
  const odd = ODD[numbers.next(ODD.length)];
  const key = keys[numbers.next(keys.length)];
  if (key === undefined) return config;
  const value = config[key];
  if (isRecord(value) && numbers.next(4) > 0) return { ...config, [key]: oddValue(value, numbers) };
  if (Array.isArray(value) && numbers.next(2) === 0)
    return { ...config, [key]: value.map((v, i) => (i === 0 ? odd : v)) };
  return { ...config, [key]: odd };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

test.each(SAMPLES)('%s: whatever is damaged, the error is one of ours, or the model is whole', async (name, sample) => {
  const format = FORMATS.find((known) => known.name === name)!;
  const numbers = new SampleNumbers(20_26);
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const raw = rawCheckpointOf(damaged(sample, numbers));
    try {
      format.detect(raw);
      const { tensors, used } = await format.resolve(raw);
      for (const part of used) expect(raw.tensors.has(part)).toBe(true);
      for (const tensor of tensors.values()) await decodeSourceTensor(tensor, CODECS);
    } catch (error) {
      if (!FormatError.isInstance(error) && !UnsupportedCheckpointError.isInstance(error)) {
        throw new Error(`round ${round}`, { cause: error });
      }
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(ROUNDS / 8);
  expect(refused).toBeLessThan(ROUNDS);
});

test('quantisation states of any text', async () => {
  const sample = bitsandbytes4bitSample({ shape: [4, 64], nested: true });
  const name = Object.keys(sample.tensors).find((known) => known.includes('quant_state'))!;
  const text = new TextDecoder().decode(sample.tensors[name]!.data);
  const numbers = new SampleNumbers(5);
  const words = ['0', '-', '1e999', 'null', '"', '{', '}', '[', ']', ',', ':', '\\u0000', '"shape":', '__proto__', '9'];
  const format = FORMATS.find((known) => known.name === 'bitsandbytes')!;
  for (let round = 0; round < 2000; round++) {
    const from = numbers.next(text.length);
    const to = Math.min(text.length, from + numbers.next(12));
    const changed = text.slice(0, from) + words[numbers.next(words.length)]! + text.slice(to);
    const raw = rawCheckpointOf({ tensors: { ...sample.tensors, [name]: textTensor(changed) } });
    const error: unknown = await format.resolve(raw).then(
      ({ tensors }) => void expect(tensors.size).toBe(1),
      (reason: unknown) => reason,
    );
    const isOurs = FormatError.isInstance(error) || UnsupportedCheckpointError.isInstance(error);
    if (error !== undefined && !isOurs) throw new Error(changed, { cause: error });
  }
});
