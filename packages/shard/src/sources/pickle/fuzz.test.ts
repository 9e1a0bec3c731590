import { statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AirllmError, tensorBytes } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { noise } from '../../testing/checkpoints';
import { mutate, randomNumbers } from '../../testing/mutate';
import { sharedFolder } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';
import { Pickler, type SavedTensor, torchLegacy, torchZip, zip } from '../../testing/torch-save';
import { SourceFiles } from '../source-files';
import { OP } from './opcodes';
import { openPickleFile } from './open-pickle-file';
import { PickleEnd } from './pickle-fault';
import { isStridedTensor } from './pickle-tensor';
import { TorchHost } from './torch-host';
import { unpickle } from './unpickle';

/** More by hand: AIRLLM_FUZZ_ROUNDS=100000. */
const ROUNDS = Number(process.env.AIRLLM_FUZZ_ROUNDS ?? 200);

const tensors: SavedTensor[] = [
  { name: 'a', type: 'FloatStorage', key: '0', elements: 16, shape: [4, 4] },
  { name: 'b', type: 'FloatStorage', key: '0', elements: 16, shape: [3, 4], strides: [1, 4], parameter: true },
  { name: 'c', type: 'BFloat16Storage', key: '1', elements: 32, offset: 4, shape: [2, 5], strides: [16, 1] },
  { name: 'd', type: 'float8_e4m3fn', key: '2', elements: 64, shape: [8, 8] },
];
const storages = [0, 1, 2].map((key) => ({ key: `${key}`, bytes: noise(64, key), elements: [16, 32, 64][key]! }));
const byKey = Object.fromEntries(storages.map(({ key, bytes }) => [key, bytes]));
const pickle = new Pickler().stateDict(tensors).bytes();

const seeds: [string, () => Promise<Uint8Array>][] = [
  ['a zip', async () => torchZip(pickle, byKey)],
  ['a zip64', async () => zip([pickle, ...storages.map(({ bytes }) => bytes)].map(wide))],
  ['a legacy file', async () => torchLegacy(new Pickler().stateDict(tensors, true).bytes(), storages)],
];
const golden = sharedFolder('golden-quant');
for (const name of golden === undefined ? [] : ['bin-single/pytorch_model.bin', 'bin-legacy/pytorch_model.bin']) {
  seeds.push([name, () => readFile(path.join(golden!, name))]);
}

function wide(bytes: Uint8Array, i: number) {
  return { name: i === 0 ? 'a/data.pkl' : `a/data/${i - 1}`, bytes, wide: true, padding: 5 };
}

describe('damaged files are read or refused, and what is read lies in the file', () => {
  test.each(seeds)('%s', async (name, load) => {
    const original = await load();
    const random = randomNumbers(name.length);
    const file = path.join(temporaryFolder(), 'damaged.bin');
    await writeFile(file, original);
    expect(await outcome(file)).toBe('read');
    const outcomes = { read: 0, refused: 0 };
    // Writing the large ones takes most of the time.
    const rounds = original.length > 100_000 ? ROUNDS / 4 : ROUNDS;
    for (let round = 0; round < rounds; round++) {
      await writeFile(file, mutate(original, random));
      outcomes[await outcome(file)]++;
    }
    // Neither does everything pass nor does anything small break everything.
    expect(outcomes.refused).toBeGreaterThan(rounds / 10);
    expect(outcomes.read).toBeGreaterThan(rounds / 100);
  });
});

/** Throws what is neither a typed error nor a sound checkpoint. */
async function outcome(file: string): Promise<'read' | 'refused'> {
  try {
    const { size } = statSync(file);
    for (const tensor of (await openPickleFile(file, file, new SourceFiles())).tensors.values()) {
      const { offset, length } = isStridedTensor(tensor) ? tensor.storage : tensor.extent!;
      expect(offset).toBeGreaterThanOrEqual(0);
      expect(offset + length).toBeLessThanOrEqual(size);
      expect(tensor.byteLength).toBe(tensorBytes(tensor.dtype, tensor.shape));
      if (isStridedTensor(tensor)) expect(Math.min(...tensor.strides)).toBeGreaterThanOrEqual(0);
      else expect(length).toBe(tensor.byteLength);
    }
    return 'read';
  } catch (error) {
    if (!AirllmError.isInstance(error)) throw error;
    expect(error.message).toContain(file);
    return 'refused';
  }
}

test('opcodes in any order end in a value or a refusal', () => {
  const random = randomNumbers(11);
  const below = (limit: number) => Math.floor(random() * limit);
  const opcodes = Object.values(OP);
  const words = ['storage', 'w', '0', 'cpu', '_metadata', 'torch._utils', '_rebuild_tensor_v2', 'os', 'system'];
  const globals = [
    ['collections', 'OrderedDict'],
    ['torch', 'FloatStorage'],
    ['torch', 'float32'],
    ['torch._utils', '_rebuild_tensor_v2'],
    ['torch._utils', '_rebuild_parameter'],
  ];
  const ends = new Map<string, number>();
  for (let round = 0; round < ROUNDS * 10; round++) {
    const made = new Pickler(2 + below(4));
    for (let i = below(40); i > 0; i--) {
      const kind = random();
      if (kind < 0.25) made.int(below(20) - 2);
      else if (kind < 0.4) made.string(words[below(words.length)]!);
      else if (kind < 0.5) made.global(...(globals[below(globals.length)] as [string, string]));
      else if (kind < 0.6) made.tensor({ type: 'FloatStorage', key: '0', elements: 16, shape: [below(5), 4] });
      else made.raw(opcodes[below(opcodes.length)]!, ...Array.from({ length: below(3) }, () => below(8)));
    }
    let end = 'value';
    try {
      unpickle({ file: 'f', bytes: made.bytes(), fileOffset: 0 }, 0, new TorchHost('f'));
    } catch (error) {
      if (!AirllmError.isInstance(error) && !(error instanceof PickleEnd)) throw error;
      end = (error as Error).constructor.name;
    }
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  expect([...ends.keys()].sort()).toEqual(['FormatError', 'PickleEnd', 'UnsafePickleError', 'value']);
});
