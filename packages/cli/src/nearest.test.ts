import { expect, test } from 'vitest';
import { nearest } from './nearest';

const commands = ['run', 'shard', 'verify', 'inspect', 'estimate'];

test.each([
  ['rum', 'run'],
  ['rnu', 'run'],
  ['shrad', 'shard'],
  ['est', 'estimate'],
  ['inpsect', 'inspect'],
  ['verfy', 'verify'],
  ['download', undefined],
  ['', undefined],
  ['x', undefined],
])('%s: %s', (found, meant) => {
  expect(nearest(found, commands)).toBe(meant);
});
