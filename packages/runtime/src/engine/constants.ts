import type { Graph, WeightBytes } from '@airllm/kernels';
import { HostBuffer, type MetaTensor } from '@airllm/loader';
import { placeLiterals } from '../models/literals';
import type { Model } from '../models/model';

/** The buffer a model's literal tensors share, or null where it has none; equal bytes given twice lie there once. */
export class Constants {
  readonly #buffer: HostBuffer | null;
  readonly #offsets: ReadonlyMap<Uint8Array, number>;

  constructor(model: Model) {
    const { offsets, byteLength } = placeLiterals(model);
    this.#offsets = offsets;
    this.#buffer = byteLength === 0 ? null : HostBuffer.allocate(byteLength, { label: 'constants' });
    for (const [bytes, offset] of offsets) this.#buffer!.bytes(offset, bytes.length).set(bytes);
  }

  /** Puts the constants of a graph's weights where a call looks for them. */
  fill(graph: Graph, tensors: readonly MetaTensor[], weights: (WeightBytes | undefined)[]): void {
    if (this.#buffer === null) return;
    for (const [id, { layout }] of graph.weights.entries()) {
      if (layout !== 'constants') continue;
      weights[id] = { buffer: this.#buffer, offset: this.#offsets.get(tensors[id]!.literal!)! };
    }
  }

  dispose(): void {
    this.#buffer?.dispose();
  }
}
