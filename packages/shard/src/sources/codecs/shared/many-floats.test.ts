import { floats } from '@airllm/kernels';
import { expect, test } from 'vitest';
import { manyFloats } from './many-floats';

test.each(['F16', 'BF16'] as const)('every %s is the number that it is one at a time', (dtype) => {
  const all = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer);
  expect(manyFloats(dtype, all)).toEqual(floats(dtype, all));
});

test('float32 at an odd address', () => {
  const bytes = new Uint8Array(Float32Array.of(1.5, -2).buffer);
  expect(manyFloats('F32', Uint8Array.of(0, ...bytes).subarray(1))).toEqual(Float32Array.of(1.5, -2));
});
