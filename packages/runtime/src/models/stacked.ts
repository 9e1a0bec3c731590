import { type Extent, MetaTensor } from '@airllm/loader';
import type { ModelTensor } from './model';

/**
 * A kind of tensor that holds the same matrix (or bias) of all experts, one after the other: `[experts, rows, …]`. Each
 * expert's share is contiguous, so it is a tensor of its own in the same file; so is each of several matrices fused into
 * its rows.
 */
export interface StackedTensor {
  /** Its name in the checkpoint; groups are given to `parts`. */
  readonly name: RegExp;
  /** Names of expert e's matrices, in stored order; each has an equal share of the rows. */
  readonly parts: (groups: readonly string[], e: number) => readonly string[];
}

/** More experts than any model has: a header may claim as many as its file has bytes. */
const MOST_EXPERTS = 4096;

/** A checkpoint's tensors with stacked ones taken apart. What cannot be is left as it is, for whoever misses its parts. */
export function unstack(
  tensors: ReadonlyMap<string, ModelTensor>,
  kinds: readonly StackedTensor[],
): ReadonlyMap<string, ModelTensor> {
  if (kinds.length === 0) return tensors;
  const apart = new Map<string, ModelTensor>();
  for (const [name, tensor] of tensors) {
    const parts = MetaTensor.isInstance(tensor) ? partsOf(tensor, kinds) : undefined;
    for (const part of parts ?? [tensor]) apart.set(parts ? part.name : name, part);
  }
  return apart;
}

function partsOf(tensor: MetaTensor, kinds: readonly StackedTensor[]): MetaTensor[] | undefined {
  for (const kind of kinds) {
    const groups = kind.name.exec(tensor.name)?.slice(1);
    if (groups === undefined) continue;
    const [experts = 0, rows = 0] = tensor.shape;
    const fused = kind.parts(groups, 0).length;
    if (experts < 1 || experts > MOST_EXPERTS || rows < 1 || rows % fused !== 0) return undefined;
    return Array.from({ length: experts }, (_, e) => kind.parts(groups, e)).flatMap((names, e) =>
      names.map((name, i) => share(tensor, name, e * fused + i, experts * fused)),
    );
  }
  return undefined;
}

/** The i-th of `count` equal shares of a tensor. */
function share(tensor: MetaTensor, name: string, i: number, count: number): MetaTensor {
  const [experts, rows, ...rest] = tensor.shape as [number, number, ...number[]];
  const length = tensor.byteLength / count;
  const { extent } = tensor;
  const own: Extent | undefined = extent && { ...extent, offset: extent.offset + i * length, length };
  return new MetaTensor({ name, dtype: tensor.dtype, shape: [(experts * rows) / count, ...rest], extent: own });
}
