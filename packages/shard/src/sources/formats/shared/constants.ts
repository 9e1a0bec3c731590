import { createHash } from 'node:crypto';
import { constantPlaces, constantsTensor, E4M3, type PackedFormat } from '@airllm/kernels';
import { MetaTensor } from '@airllm/loader';

/** Numbers of a matrix that are the same for all of its weights, by what they are for. */
export interface ConstantNumbers {
  readonly bias?: number;
  readonly table4?: ArrayLike<number>;
  readonly table8?: ArrayLike<number>;
}

/** The vector of constants a format wants. */
export function constantVector(format: PackedFormat, numbers: ConstantNumbers): Float32Array {
  const { bias, table4, table8, count } = constantPlaces(format);
  const vector = new Float32Array(count);
  if (bias !== undefined) vector[bias] = numbers.bias!;
  if (table4 !== undefined) vector.set(numbers.table4!, table4);
  if (table8 !== undefined) vector.set(numbers.table8!, table8);
  return vector;
}

/** Constants of a checkpoint's matrices: equal ones share their bytes, so that they are in memory once. */
export class ConstantPool {
  readonly #known = new Map<string, Uint8Array>();

  tensor(name: string, format: PackedFormat, numbers: ConstantNumbers): MetaTensor {
    const fresh = constantsTensor(name, constantVector(format, numbers));
    // Not the bytes themselves: where every matrix has its own, they would all be in memory twice.
    const key = createHash('sha256').update(fresh.literal!).digest('base64');
    const literal = this.#known.get(key);
    if (literal === undefined) this.#known.set(key, fresh.literal!);
    return literal === undefined ? fresh : new MetaTensor({ name, dtype: 'F32', shape: fresh.shape, literal });
  }
}

/** FP8 numbers times a tensor's own factor, rounded once: scales of 4 exponent and 3 fraction bits (NVFP4). */
export function scaledE4M3(scaled: (number: number) => number): Float32Array {
  return E4M3.map(scaled);
}
