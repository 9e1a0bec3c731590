import { HostBuffer, MetaTensor } from '@airllm/loader';
import type { WeightBytes } from '../executor';
import type { WeightSource } from '../graph/builder-options';
import { encode, rounded, type TestDType } from './encode';
import { randomValues } from './random';

/** Random weights, made when a builder asks for their name; the seed is the name. */
export class TestWeights {
  readonly dtype: TestDType;
  readonly #values = new Map<string, Float32Array>();
  readonly #buffers = new Map<string, WeightBytes>();
  readonly #gathered: HostBuffer[] = [];

  constructor(dtype: TestDType) {
    this.dtype = dtype;
  }

  readonly source: WeightSource = (name, shape) => {
    const length = shape.reduce((product, size) => product * size, 1);
    // Matrices are scaled so that values keep their size from op to op.
    const deviation = shape.length === 2 ? shape[1]! ** -0.5 : 1;
    this.#values.set(name, rounded(randomValues(name, length, deviation), this.dtype));
    return new MetaTensor({ name, dtype: this.dtype, shape });
  };

  /** As stored: already rounded to the dtype. */
  values(name: string): Float32Array {
    const values = this.#values.get(name);
    if (values === undefined) throw new Error(`no weight ${name} was recorded`);
    return values;
  }

  /** The weight's bytes, at an odd address. */
  bytes(name: string): WeightBytes {
    const known = this.#buffers.get(name);
    if (known !== undefined) return known;
    const bytes = encode(this.values(name), this.dtype);
    const at = { buffer: HostBuffer.allocate(bytes.length + 64), offset: 1 + 2 * (this.#buffers.size % 31) };
    at.buffer.bytes(at.offset, bytes.length).set(bytes);
    this.#buffers.set(name, at);
    return at;
  }

  /** Rows `ids` of a `[rows, width]` weight, one after another at an odd address. */
  gather(name: string, width: number, ids: Int32Array): WeightBytes {
    const table = this.values(name);
    const picked = new Float32Array(ids.length * width);
    ids.forEach((id, r) => {
      picked.set(table.subarray(id * width, (id + 1) * width), r * width);
    });
    const bytes = encode(picked, this.dtype);
    const at = { buffer: HostBuffer.allocate(bytes.length + 1), offset: 1 };
    at.buffer.bytes(1, bytes.length).set(bytes);
    this.#gathered.push(at.buffer);
    return at;
  }

  dispose(): void {
    for (const { buffer } of this.#buffers.values()) buffer.dispose();
    for (const buffer of this.#gathered) buffer.dispose();
    this.#buffers.clear();
    this.#gathered.length = 0;
  }
}
