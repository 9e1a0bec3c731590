import { HostBuffer, MetaTensor, tensorBytes } from '@airllm/loader';
import type { WeightBytes } from '../executor';
import type { WeightSource } from '../graph/builder-options';
import { encode, rounded, type TestDType } from './encode';
import { type PackedExample, packExample } from './packed';
import { randomValues } from './random';

/**
 * Random weights, made when a builder asks for their name; the seed is the name. With an example of a packed format all
 * matrices are quantised in it.
 */
export class TestWeights {
  readonly dtype: TestDType;
  readonly #packed: PackedExample | undefined;
  readonly #values = new Map<string, Float32Array>();
  /** By name of the tensor: of a packed matrix, of each component. */
  readonly #stored = new Map<string, Uint8Array>();
  readonly #buffers = new Map<string, WeightBytes>();
  readonly #gathered: HostBuffer[] = [];

  constructor(dtype: TestDType, packed?: PackedExample) {
    this.dtype = dtype;
    this.#packed = packed;
  }

  readonly source: WeightSource = (name, shape) => {
    if (this.#packed !== undefined && shape.length === 2) return this.#pack(name, shape, this.#packed);
    const length = shape.reduce((product, size) => product * size, 1);
    // Matrices are scaled so that values keep their size from op to op.
    const deviation = shape.length === 2 ? shape[1]! ** -0.5 : 1;
    const values = rounded(randomValues(name, length, deviation), this.dtype);
    this.#values.set(name, values);
    this.#stored.set(name, encode(values, this.dtype));
    return new MetaTensor({ name, dtype: this.dtype, shape });
  };

  /** As stored: already rounded to the dtype, or decoded. */
  values(name: string): Float32Array {
    const values = this.#values.get(name);
    if (values === undefined) throw new Error(`no weight ${name} was recorded`);
    return values;
  }

  /** The tensor's bytes, at an odd address. */
  bytes(name: string): WeightBytes {
    const known = this.#buffers.get(name);
    if (known !== undefined) return known;
    const at = place(this.#stored.get(name)!, 1 + 2 * (this.#buffers.size % 31));
    this.#buffers.set(name, at);
    return at;
  }

  /** Rows `ids` of a tensor, one after another at an odd address. */
  gather(name: string, rowBytes: number, ids: Int32Array): WeightBytes {
    const table = this.#stored.get(name)!;
    const picked = new Uint8Array(ids.length * rowBytes);
    ids.forEach((id, r) => {
      picked.set(table.subarray(id * rowBytes, (id + 1) * rowBytes), r * rowBytes);
    });
    const at = place(picked, 1);
    this.#gathered.push(at.buffer);
    return at;
  }

  dispose(): void {
    for (const { buffer } of this.#buffers.values()) buffer.dispose();
    for (const buffer of this.#gathered) buffer.dispose();
    this.#buffers.clear();
    this.#gathered.length = 0;
  }

  #pack(name: string, shape: readonly number[], example: PackedExample) {
    const { tensor, bytes, values } = packExample(example, name, shape);
    for (const [component, { name: part, dtype, shape: stored }] of tensor.parts()) {
      const found = bytes[component]!;
      if (found.byteLength !== tensorBytes(dtype, stored)) throw new Error(`${part} has ${found.byteLength} bytes`);
      this.#stored.set(part, found);
    }
    this.#values.set(name, values);
    return tensor;
  }
}

function place(bytes: Uint8Array, offset: number): WeightBytes {
  const buffer = HostBuffer.allocate(bytes.length + offset);
  buffer.bytes(offset, bytes.length).set(bytes);
  return { buffer, offset };
}
