import type { MetaTensor } from '@airllm/loader';
import type { Graph } from './ops';

export type { Graph } from './ops';
export type {
  KvCacheDType,
  KvStateSpec,
  PackedWeightSpec,
  StateSpec,
  ValueSpec,
  WeightLayout,
  WeightSpec,
} from './specs';

/** A graph with the tensors that fill it: one layer (or the embedding, or the head) of a model. */
export interface Block {
  readonly name: string;
  readonly graph: Graph;
  /** Parallel to `graph.weights`. */
  readonly weights: readonly MetaTensor[];
  /** Per `expert` op (by op index): for each expert, tensors parallel to the sub-graph's weights. */
  readonly experts: ReadonlyMap<number, readonly (readonly MetaTensor[])[]>;
}

/**
 * The piece of a program that runs at once: ops `[from, to)`. A part of exactly one `linear` may be sliced, a part of
 * exactly one `expert` op names the expert and, where the expert is larger than a slot, a part of its sub-graph.
 * Values live in the workspace across the parts of one pass, so a layer can be cut anywhere.
 */
export interface Part {
  readonly from: number;
  readonly to: number;
  /** Range of output rows (`out,in`) or of input rows (`in,out`, run in ascending order) of the one linear. */
  readonly slice?: { readonly from: number; readonly to: number };
  readonly expert?: { readonly id: number; readonly part?: Part };
}
