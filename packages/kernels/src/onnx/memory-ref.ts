import { type HostBuffer, type Lease, tensorBytes } from '@airllm/loader';
import { GraphError } from '../errors';
import type { WeightBytes } from '../executor';
import type { Graph, Part } from '../graph/graph';
import { isSliced } from '../graph/ops';
import type { CarryRef, MemoryRef } from './protocol';

const ids = new WeakMap<HostBuffer, number>();
let count = 0;

/** A number for a buffer, by which the worker knows it again. */
export function bufferId(buffer: HostBuffer): number {
  const known = ids.get(buffer);
  if (known !== undefined) return known;
  ids.set(buffer, count);
  return count++;
}

/** Holds buffers while the worker has their addresses. */
export class Holds {
  readonly #leases: Lease[] = [];
  #last: HostBuffer | undefined;

  memory(buffer: HostBuffer, offset: number, length: number): MemoryRef {
    if (!buffer.native) throw new GraphError('buffer', `${buffer.label} is not native memory; onnx cannot use it`);
    // Most weights lie in one buffer.
    if (buffer !== this.#last) {
      this.#leases.push(buffer.lease());
      this.#last = buffer;
    }
    return { address: buffer.address + BigInt(offset), length };
  }

  carry(carry: ReadonlyMap<string, HostBuffer>): Map<string, CarryRef> {
    return new Map(
      [...carry].map(([name, buffer]) => [
        name,
        { id: bufferId(buffer), memory: this.memory(buffer, 0, buffer.byteLength) },
      ]),
    );
  }

  /** Parallel to the graph's weights, each as long as the part has of it; `rows` were gathered of embeddings. */
  weights(
    graph: Graph,
    { slice }: Part,
    weights: readonly (WeightBytes | undefined)[],
    rows: number,
  ): (MemoryRef | undefined)[] {
    return Array.from(weights, (weight, id) => {
      const spec = graph.weights[id];
      if (weight === undefined || spec === undefined) return undefined;
      const bytes = tensorBytes(spec.dtype, spec.shape);
      const perRow = bytes / (spec.shape[0] ?? 1);
      const length =
        spec.layout === 'rows'
          ? perRow * rows
          : slice !== undefined && isSliced(spec)
            ? perRow * (slice.to - slice.from)
            : bytes;
      return this.memory(weight.buffer, weight.offset, length);
    });
  }

  release(): void {
    for (const lease of this.#leases.splice(0)) lease.release();
    this.#last = undefined;
  }
}
