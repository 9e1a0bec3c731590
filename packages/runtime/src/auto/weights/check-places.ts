import { basename } from 'node:path';
import { MetaTensor } from '@airllm/loader';
import { isConversion, openSource, type SourceTensor } from '@airllm/shard';
import type { ModelTensor } from '../../models/model';
import { StaleWeightsError } from '../../remote/errors';

/** Tensors, and where they were taken to be. */
type Placed = ReadonlyMap<string, SourceTensor | ModelTensor>;

/**
 * Of PyTorch's archives that are far away not every place is read, since each would be a request: the rest are where PyTorch
 * puts them. Now that the files are here, all of them say where their tensors are. Throws `StaleWeightsError` where that
 * is elsewhere.
 */
export async function checkPlaces(repo: string, path: string, taken: Placed, signal?: AbortSignal): Promise<void> {
  const { tensors } = await openSource(path, { signal });
  for (const [name, tensor] of tensors) {
    const expected = taken.get(name);
    const [file] = extentsOf(tensor);
    if (expected !== undefined && placesOf(expected) === placesOf(tensor)) continue;
    const reason = 'is an archive that PyTorch did not write, and was read at wrong places';
    throw new StaleWeightsError(repo, basename(file?.file ?? path), reason);
  }
}

function placesOf(tensor: SourceTensor | ModelTensor): string {
  return JSON.stringify(extentsOf(tensor).map(({ offset, length }) => [offset, length]));
}

function extentsOf(tensor: SourceTensor | ModelTensor) {
  const stored = isConversion(tensor) ? Object.values(tensor.inputs) : [tensor];
  return stored.flatMap((each) => (MetaTensor.isInstance(each) ? (each.extent ?? []) : []));
}
