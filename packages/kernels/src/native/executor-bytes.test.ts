import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { executorBytes } from './executor-bytes';

test('tiles take what the native code packs activations into, and nothing else takes anything', () => {
  const header = readFileSync(new URL('../../native/program.h', import.meta.url), 'utf8');
  const factors = /constexpr size_t kTilePanelBytes = ([\d* ]+);/.exec(header)![1]!.split('*').map(Number);
  const panel = factors.reduce((product, factor) => product * factor, 1);
  expect(executorBytes({ isa: 'amxbf16', computeDtype: 'bfloat16' })).toBe(panel);
  expect(executorBytes({ isa: 'amxbf16', computeDtype: 'float32' })).toBe(0);
  expect(executorBytes({ isa: 'avx512bf16', computeDtype: 'bfloat16' })).toBe(0);
  expect(executorBytes({ isa: 'js', computeDtype: 'float32' })).toBe(0);
});
