import { expect, test } from 'vitest';
import { parseAddress } from './address';

test.each([
  ['org/name', 'org/name', undefined, undefined],
  ['gpt2', 'gpt2', undefined, undefined],
  ['org/Name-1.5_b@v1.0', 'org/Name-1.5_b', 'v1.0', undefined],
  ['org/name@refs/pr/3', 'org/name', 'refs/pr/3', undefined],
  ['org/name-GGUF:Q4_K_M', 'org/name-GGUF', undefined, 'Q4_K_M'],
  ['gpt2:q8_0', 'gpt2', undefined, 'q8_0'],
  ['org/name@feature/x:UD-Q4_K_XL', 'org/name', 'feature/x', 'UD-Q4_K_XL'],
])('%s is an address', (text, repo, revision, quantisation) => {
  expect(parseAddress(text)).toEqual({ repo, revision, quantisation });
});

test.each([
  './name',
  '../name',
  '/org/name',
  'org/name/more',
  'C:\\models\\x',
  'org/name@',
  'org/name:',
  'org/name@a@b',
  'org/name:Q4:Q5',
  'org/name:a/b',
  'org/name:Q4_K_M@main',
  'org--x/name',
  '',
])('%o is none', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});
