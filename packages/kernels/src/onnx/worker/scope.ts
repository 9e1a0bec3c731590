import type { Tensor } from 'onnxruntime-node';
import { GraphError } from '../../errors';
import type { Graph } from '../../graph/graph';
import type { ValueId } from '../../graph/ops';
import { type Lifetime, valueLifetimes } from '../../graph/workspace';
import type { DeviceBuffer } from './backend';
import type { BufferPool } from './buffers';

/** Values of one graph during one pass: of a block, or of an expert on the rows that chose it. */
export class Scope {
  readonly graph: Graph;
  /** Row capacity of the buffers. */
  readonly maxRows: number;
  readonly #pool: BufferPool;
  readonly #lifetimes: readonly Lifetime[];
  readonly #buffers = new Map<ValueId, DeviceBuffer>();
  /** Experts chosen, which the host needs: int32 values are kept here. */
  readonly ids = new Map<ValueId, Int32Array>();
  /** What slices of a linear have left so far. */
  slices: { readonly buffer: DeviceBuffer; readonly columns: number }[] = [];
  /** Of expert ops, by op and expert. */
  readonly experts = new Map<string, { readonly scope: Scope; readonly places: Int32Array }>();

  constructor(graph: Graph, maxRows: number, pool: BufferPool) {
    this.graph = graph;
    this.maxRows = maxRows;
    this.#pool = pool;
    this.#lifetimes = valueLifetimes(graph);
  }

  /** For an expert's graph on some of these rows. */
  child(graph: Graph): Scope {
    return new Scope(graph, this.maxRows, this.#pool);
  }

  /** Memory for `columns` floats of each row. */
  take(columns: number): Promise<DeviceBuffer> {
    return this.#pool.take(4 * this.maxRows * columns);
  }

  give(buffer: DeviceBuffer): void {
    this.#pool.give(buffer);
  }

  /** The value's memory, made now if it is the first time. */
  async make(id: ValueId): Promise<DeviceBuffer> {
    const known = this.#buffers.get(id);
    if (known !== undefined) return known;
    const buffer = await this.take(this.graph.values[id]!.width);
    this.#buffers.set(id, buffer);
    return buffer;
  }

  has(id: ValueId): boolean {
    return this.#buffers.has(id);
  }

  buffer(id: ValueId): DeviceBuffer {
    const buffer = this.#buffers.get(id);
    if (buffer === undefined) throw new GraphError('part', `value ${id} was not computed: parts must be run in order`);
    return buffer;
  }

  tensor(id: ValueId, rows: number): Tensor {
    return this.buffer(id).tensor('float32', [rows, this.graph.values[id]!.width]);
  }

  /** Hands a value's memory over; `free` is given for it. */
  exchange(id: ValueId, free: DeviceBuffer): void {
    this.#buffers.set(id, free);
  }

  /** Gives back values that no op from `from` on reads. */
  retire(from: number): void {
    for (const [id, buffer] of this.#buffers) {
      if (this.#lifetimes[id]!.to >= from) continue;
      this.#pool.give(buffer);
      this.#buffers.delete(id);
    }
  }

  /** Gives everything back. */
  clear(): void {
    for (const buffer of this.#buffers.values()) this.#pool.give(buffer);
    for (const { buffer } of this.slices) this.#pool.give(buffer);
    for (const { scope } of this.experts.values()) scope.clear();
    this.#buffers.clear();
    this.slices = [];
    this.experts.clear();
    this.ids.clear();
  }
}
