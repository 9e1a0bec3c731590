import type { DType, MetaTensor } from '@airllm/loader';
import type { RopeSpec } from '../rope/spec';
import type { Op, ValueId } from './ops';

/** How a weight's bytes are arranged, and so how a matrix may be cut. */
export type WeightLayout =
  /** Rows picked one by one (embeddings): never loaded whole. */
  | 'rows'
  /** One-dimensional: norms, biases. */
  | 'vector'
  /** `[out, in]`, PyTorch's Linear: a range of outputs is one contiguous extent. */
  | 'out,in'
  /** `[in, out]`, GPT-2's Conv1D: a range of inputs is one contiguous extent. */
  | 'in,out';

export interface WeightSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly layout: WeightLayout;
  /** Row ranges that belong together in a fused matrix (q, k, v; gate, up), in stored order. */
  readonly parts?: readonly number[];
}

export interface ValueSpec {
  readonly width: number;
  readonly type: 'f32' | 'i32';
}

/** What a sequence keeps between passes for one op. */
export interface KvStateSpec {
  readonly kind: 'kv';
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** Positions older than this many are never read again (sliding window): the state is a ring. */
  readonly window?: number;
}
export type StateSpec = KvStateSpec;

/** A recorded run of ops without names or bytes: layers of one kind share it, and so share one compiled program. */
export interface Graph {
  readonly ops: readonly Op[];
  readonly values: readonly ValueSpec[];
  readonly weights: readonly WeightSpec[];
  readonly states: readonly StateSpec[];
  readonly ropes: readonly RopeSpec[];
  readonly inputs: ReadonlyMap<string, ValueId>;
  readonly outputs: ReadonlyMap<string, ValueId>;
  /** Equal for graphs that compile to the same program. */
  readonly key: string;
}

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
