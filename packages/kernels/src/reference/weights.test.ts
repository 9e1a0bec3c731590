import { HostBuffer } from '@airllm/loader';
import { describe, expect, it } from 'vitest';
import { encode, type TestDType } from '../testing/encode';
import { randomValues } from '../testing/random';
import { WeightMatrix } from './weights';

/** A matrix over the given bits, stored at `offset`. */
function stored(bytes: Uint8Array, offset: number, dtype: TestDType, rows: number, columns: number): WeightMatrix {
  const buffer = HostBuffer.allocate(offset + bytes.length);
  buffer.bytes(offset, bytes.length).set(bytes);
  return new WeightMatrix({ buffer, offset }, dtype, rows, columns);
}

describe('WeightMatrix', () => {
  it('decodes every kind of float16', () => {
    const bits = Uint16Array.of(0x0000, 0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x83ff, 0x7c00, 0xfc00, 0x3555);
    const row = stored(new Uint8Array(bits.buffer), 0, 'F16', 1, bits.length).row(0);
    const subnormal = -1023 * 2 ** -24;
    const third = 0.333251953125;
    expect([...row]).toEqual([0, 1, -2, 65504, 2 ** -14, 2 ** -24, subnormal, Infinity, -Infinity, third]);
    const nan = stored(Uint8Array.of(0x00, 0x7e), 0, 'F16', 1, 1);
    expect(nan.row(0)[0]).toBeNaN();
  });

  it('decodes bfloat16', () => {
    const bits = Uint16Array.of(0x0000, 0x3f80, 0xc000, 0x7f80, 0x0001, 0x4049);
    const row = stored(new Uint8Array(bits.buffer), 0, 'BF16', 1, bits.length).row(0);
    expect([...row]).toEqual([0, 1, -2, Infinity, 2 ** -133, 3.140625]);
  });

  it.each(['F32', 'F16', 'BF16'] as const)('finds %s rows at any byte address, in any order', (dtype) => {
    const values = randomValues('rows', 15);
    for (const offset of [0, 1, 2, 3, 4, 7]) {
      const matrix = stored(encode(values, dtype), offset, dtype, 3, 5);
      const aligned = stored(encode(values, dtype), 0, dtype, 1, 15).row(0);
      for (const r of [2, 0, 1]) expect(matrix.row(r)).toEqual(aligned.slice(r * 5, r * 5 + 5));
    }
  });
});
