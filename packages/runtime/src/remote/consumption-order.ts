import type { Block } from '@airllm/kernels';
import type { Extent } from '@airllm/loader';
import { type Model, storedTensors } from '../models/model';

/** Where a model's weights lie, in the order in which a pass first needs something of them; files by absolute paths. */
export function consumptionOrder(model: Model): Extent[] {
  const extents = new Set<Extent>();
  // Of the embedding, rows are picked before the first layer runs.
  for (const block of [model.embedding, ...model.layers, model.head]) {
    for (const { extent } of tensorsOf(block)) if (extent !== undefined) extents.add(extent);
  }
  for (const { extent } of storedTensors(model)) if (extent !== undefined) extents.add(extent);
  return [...extents];
}

function tensorsOf({ weights, experts }: Block): Block['weights'] {
  return [...weights, ...[...experts.values()].flat(2)];
}
