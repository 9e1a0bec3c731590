import { GraphError } from '../../errors';
import type { KvStateSpec } from '../../graph/graph';
import { decodeVector, encodeVector, viewItems } from '../../state/kv-codec';
import { BLOCK_POSITIONS, kvLayout } from '../../state/kv-layout';
import type { MemoryRef } from '../protocol';
import { floatsAt } from './memory';

/** A state in blocks of the host's memory, as `KvState` lays them out, seen from the worker. */
export class HostState {
  readonly #spec: KvStateSpec;
  readonly #blocks: readonly (MemoryRef | undefined)[];
  readonly #views = new Map<number, Float32Array>();

  constructor(spec: KvStateSpec, blocks: readonly (MemoryRef | undefined)[]) {
    this.#spec = spec;
    this.#blocks = blocks;
  }

  /** Stores a position's keys or values `[kvHeads, dim]`, rounded as the state's dtype says. */
  write(what: 'key' | 'value', position: number, vectors: Float32Array): void {
    const { kvHeads, dtype } = this.#spec;
    const dim = vectors.length / kvHeads;
    for (let head = 0; head < kvHeads; head++) {
      const { items, place, scales, scaleAt } = this.#place(what, position, head);
      const factor = encodeVector(dtype, vectors.subarray(head * dim, (head + 1) * dim), items, place);
      if (scales !== undefined) scales[scaleAt] = factor;
    }
  }

  /** What is stored at positions `[from, to)`, `[kvHeads, to - from, dim]`. */
  read(what: 'key' | 'value', from: number, to: number): Float32Array {
    const { kvHeads, dtype, keyDim, valueDim } = this.#spec;
    const dim = what === 'key' ? keyDim : valueDim;
    const vectors = new Float32Array((to - from) * kvHeads * dim);
    let at = 0;
    for (let head = 0; head < kvHeads; head++) {
      for (let position = from; position < to; position++, at += dim) {
        const { items, place, scales, scaleAt } = this.#place(what, position, head);
        decodeVector(dtype, items, place, scales?.[scaleAt] ?? 1, vectors.subarray(at, at + dim));
      }
    }
    return vectors;
  }

  #place(what: 'key' | 'value', position: number, head: number) {
    const { dtype, keyDim, valueDim } = this.#spec;
    const layout = kvLayout(this.#spec);
    const memory = this.#memory(Math.floor(position / BLOCK_POSITIONS));
    const items = viewItems(dtype, memory, layout.keyItems + layout.valueItems);
    const slot = position % BLOCK_POSITIONS;
    const place =
      what === 'key'
        ? { at: head * keyDim * BLOCK_POSITIONS + slot, stride: BLOCK_POSITIONS }
        : { at: layout.keyItems + (head * BLOCK_POSITIONS + slot) * valueDim, stride: 1 };
    const first = what === 'key' ? layout.scales?.keys : layout.scales?.values;
    return {
      items,
      place,
      scales: layout.scales && memory,
      scaleAt: (first ?? 0) + head * BLOCK_POSITIONS + slot,
    };
  }

  #memory(block: number): Float32Array {
    let view = this.#views.get(block);
    if (view !== undefined) return view;
    const memory = this.#blocks[block];
    if (memory === undefined) {
      const from = block * BLOCK_POSITIONS;
      throw new GraphError(
        'attention',
        `the state has no memory for positions ${from} to ${from + BLOCK_POSITIONS - 1}`,
      );
    }
    view = floatsAt(memory);
    this.#views.set(block, view);
    return view;
  }
}
