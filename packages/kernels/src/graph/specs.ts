import type { DType } from '@airllm/loader';

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
