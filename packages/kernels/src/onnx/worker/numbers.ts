import { type DType, decodeToFloat32 } from '@airllm/loader';
import { bf16ToHalf, fitsHalf, floatsToHalf } from './half';
import type { PackedMatrix } from './packed-matrix';

/** Numbers as a checkpoint has them. */
export type Stored =
  /** `count` of one dtype, at any address. */
  | { readonly dtype: DType; readonly bytes: Uint8Array; readonly count: number }
  /** Rows `[from, from + rows)` of a quantised matrix, counted from the first that was given. */
  | { readonly matrix: PackedMatrix; readonly from: number; readonly rows: number };

/** Makes stored numbers into those that providers take, in `memory` that has room for them. */
export interface NumberReader {
  readonly name: 'native' | 'javascript';
  floats(stored: Stored, memory: ArrayBuffer): Float32Array<ArrayBuffer>;
  /** float16, to nearest even; undefined where it would not keep them: numbers too large, or all of them very small. */
  halves(stored: Stored, memory: ArrayBuffer): Uint16Array<ArrayBuffer> | undefined;
  close(): void;
}

export function countOf(stored: Stored): number {
  return 'dtype' in stored ? stored.count : stored.rows * stored.matrix.source.columns;
}

/** Where there is no native library: many times as slow. */
export class ScriptNumbers implements NumberReader {
  readonly name = 'javascript';

  floats(stored: Stored, memory: ArrayBuffer): Float32Array<ArrayBuffer> {
    const values = new Float32Array(memory, 0, countOf(stored));
    if ('dtype' in stored) {
      if (stored.dtype === 'BF16') bf16ToFloats(aligned(stored.bytes), values);
      else values.set(decodeToFloat32(stored.dtype, stored.bytes, stored.count));
      return values;
    }
    const { matrix, from, rows } = stored;
    const { columns, firstRow } = matrix.source;
    for (let r = 0; r < rows; r++) {
      matrix.decoder.row(firstRow + from + r, values.subarray(r * columns, (r + 1) * columns));
    }
    return values;
  }

  halves(stored: Stored, memory: ArrayBuffer): Uint16Array<ArrayBuffer> | undefined {
    const halves = new Uint16Array(memory, 0, countOf(stored));
    const largest =
      'dtype' in stored && stored.dtype === 'BF16'
        ? bf16ToHalf(aligned(stored.bytes), halves)
        : floatsToHalf(this.floats(stored, new ArrayBuffer(4 * halves.length)), halves);
    return fitsHalf(largest) ? halves : undefined;
  }

  close(): void {}
}

/** Tensors start at any byte, typed arrays only at multiples of their element. */
function aligned(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.slice().buffer);
}

function bf16ToFloats(stored: Uint16Array, values: Float32Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < stored.length; i++) bits[i] = stored[i]! << 16;
}
