import { type DType, MetaTensor } from '@airllm/loader';
import type { RawCheckpoint } from '../sources/source';

export interface SampleTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** A checkpoint in memory, as formats see one. */
export interface RawSample {
  readonly quantisation?: Record<string, unknown> | null;
  readonly tensors: Readonly<Record<string, SampleTensor>>;
  readonly metadata?: Readonly<Record<string, string>>;
  /** JSON files of the folder. */
  readonly files?: Readonly<Record<string, Record<string, unknown>>>;
}

/** What {@link rawCheckpointOf} says the tensors' file is. */
export const SAMPLE_FILE = '/sample/model.safetensors';

export function rawCheckpointOf({ quantisation, tensors, metadata, files }: RawSample): RawCheckpoint {
  const made = Object.entries(tensors).map(([name, { dtype, shape, data }]) => {
    const extent = { file: SAMPLE_FILE, offset: 0, length: data.length };
    return [name, new MetaTensor({ name, dtype, shape, extent, literal: data })] as const;
  });
  return {
    dir: '/sample',
    config: {},
    quantisation: quantisation ?? null,
    tensors: new Map(made),
    metadata: new Map(Object.entries(metadata ?? {})),
    read: async ({ literal }) => literal!,
    readJson: async (name) => files?.[name] ?? null,
  };
}

/** Numbers that look random and depend on the seed alone: whole ones below `below`. */
export class SampleNumbers {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** mulberry32. */
  next(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  }

  bytes(count: number, below = 256): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.next(below));
  }

  /** Of the size of scales: positive, and exact in bfloat16 and float16 too. */
  scales(count: number): Float32Array {
    return Float32Array.from({ length: count }, () => (1 + this.next(128) / 128) / 64);
  }
}

/** One tensor from numbers, in F32 or cut to BF16. */
export function floatTensor(
  shape: readonly number[],
  numbers: Float32Array,
  dtype: 'F32' | 'BF16' = 'F32',
): SampleTensor {
  const data = new Uint8Array(numbers.slice().buffer);
  if (dtype === 'F32') return { dtype, shape, data };
  return { dtype, shape, data: data.filter((_, i) => i % 4 >= 2) };
}

export function textTensor(text: string): SampleTensor {
  const data = new TextEncoder().encode(text);
  return { dtype: 'U8', shape: [data.length], data };
}

/** What a promise was rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => Promise.reject(new Error('expected a rejection')),
    (error: unknown) => error,
  );
}
