import { expect, test } from 'vitest';
import { FileNames } from './file-names';
import { placeTensor } from './place';

function claimAll(...tensors: string[]): string[] {
  const names = new FileNames();
  return tensors.map((tensor) => names.claim(placeTensor(tensor), 2, 3));
}

test('names sort in order and say where a file belongs', () => {
  expect(
    claimAll('model.embed_tokens.weight', 'model.layers.7.x.weight', 'model.layers.7.mlp.experts.12.w1.weight'),
  ).toEqual(['embed.safetensors', 'model.layers.07.safetensors', 'model.layers.07.experts.012.safetensors']);
});

test('names are safe on every file system', () => {
  expect(
    claimAll('../../etc/layers.1.x', 'aux.layers.1.x', 'a/b:c.layers.1.x', 'Model.layers.1.x', 'model.layers.1.x'),
  ).toEqual([
    '_.._.._etc_layers.01.safetensors',
    '_aux.layers.01.safetensors',
    'a_b_c.layers.01.safetensors',
    'Model.layers.01.safetensors',
    'model.layers.01~2.safetensors',
  ]);
  const [long] = claimAll(`${'x'.repeat(4000)}.layers.12.y`);
  expect(long).toMatch(/^x+\.layers\.12\.safetensors$/);
  expect(long!.length).toBeLessThan(255);
});
