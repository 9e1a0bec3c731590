import { MetaTensor } from '@airllm/loader';
import { expect, test } from 'vitest';
import type { ModelTensor } from './model';
import { type StackedTensor, unstack } from './stacked';

const kinds: readonly StackedTensor[] = [
  { name: /^(.*)\.both$/, parts: ([prefix], e) => [`${prefix}.${e}.gate`, `${prefix}.${e}.up`] },
  { name: /^(.*)\.down$/, parts: ([prefix], e) => [`${prefix}.${e}.down`] },
];

function taken(...tensors: MetaTensor[]): ReadonlyMap<string, ModelTensor> {
  return unstack(new Map(tensors.map((tensor) => [tensor.name, tensor])), kinds);
}

function stored(name: string, shape: readonly number[], offset = 1000): MetaTensor {
  const length = 2 * shape.reduce((product, size) => product * size, 1);
  return new MetaTensor({ name, dtype: 'BF16', shape, extent: { file: 'model.safetensors', offset, length } });
}

test('each expert’s share of a stack is a tensor of its own, at its place in the file', () => {
  const tensors = taken(stored('a.both', [2, 6, 5]), stored('a.down', [2, 5, 3], 4000), stored('other', [4]));
  const found = [...tensors.values()].map((tensor) => {
    const { name, shape, extent } = tensor as MetaTensor;
    return [name, shape, extent!.offset, extent!.length];
  });
  expect(found).toEqual([
    ['a.0.gate', [3, 5], 1000, 30],
    ['a.0.up', [3, 5], 1030, 30],
    ['a.1.gate', [3, 5], 1060, 30],
    ['a.1.up', [3, 5], 1090, 30],
    ['a.0.down', [5, 3], 4000, 30],
    ['a.1.down', [5, 3], 4030, 30],
    ['other', [4], 1000, 8],
  ]);
  expect([...tensors.keys()]).toEqual(found.map(([name]) => name));
});

test('on meta the shares are on meta too', () => {
  const tensor = new MetaTensor({ name: 'a.down', dtype: 'F32', shape: [3, 4] });
  expect([...taken(tensor).values()]).toEqual(
    [0, 1, 2].map((e) => new MetaTensor({ name: `a.${e}.down`, dtype: 'F32', shape: [4] })),
  );
});

test.each([[[]], [[3]], [[0, 6, 5]], [[2, 0, 5]], [[2, 5, 4]], [[5000, 2]]])('a shape of %j is left alone', (shape) => {
  const tensor = new MetaTensor({ name: 'a.both', dtype: 'BF16', shape });
  expect([...taken(tensor).values()]).toEqual([tensor]);
});
