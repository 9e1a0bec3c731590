import type { Block } from '@airllm/kernels';
import { type Model, storedTensors } from '../models/model';

/** Files of a model's weights in the order in which a pass first needs something of them; absolute paths. */
export function consumptionOrder(model: Model): string[] {
  const files = new Set<string>();
  // Of the embedding, rows are picked before the first layer runs.
  for (const block of [model.embedding, ...model.layers, model.head]) {
    for (const { extent } of tensorsOf(block)) if (extent !== undefined) files.add(extent.file);
  }
  for (const { extent } of storedTensors(model)) if (extent !== undefined) files.add(extent.file);
  return [...files];
}

function tensorsOf({ weights, experts }: Block): Block['weights'] {
  return [...weights, ...[...experts.values()].flat(2)];
}
