import type { DType } from '@airllm/loader';
import type { ComponentName, PackedFormat } from '../packed/format';

/** How a weight's bytes are arranged, and so how a matrix may be cut. */
export type WeightLayout =
  /** Rows picked one by one (embeddings): never loaded whole. */
  | 'rows'
  /** One-dimensional: norms, biases. */
  | 'vector'
  /** `[out, in]`, PyTorch's Linear: a range of outputs is one contiguous extent. */
  | 'out,in'
  /** `[in, out]`, GPT-2's Conv1D: a range of inputs is one contiguous extent. */
  | 'in,out'
  /** Of a packed matrix: comes whole with any range of its rows. */
  | 'whole'
  /** Of a packed matrix: a few numbers known since the checkpoint was opened, which are never loaded. */
  | 'constants';

/** A weight of a graph as its ops see it: no name, no bytes. */
export interface WeightSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly layout: WeightLayout;
  /** Row ranges that belong together in a fused matrix (q, k, v; gate, up), in stored order. */
  readonly parts?: readonly number[];
  /** A quantised matrix: this weight is its codes, `[rows, bytes of a row]`. */
  readonly packed?: PackedWeightSpec;
}

/** What makes a weight the codes of a quantised matrix. */
export interface PackedWeightSpec {
  readonly format: PackedFormat;
  /** K of the matrix that is meant. */
  readonly columns: number;
  /** Its other components, by their index in `Graph.weights`. */
  readonly components: Readonly<Partial<Record<Exclude<ComponentName, 'codes'>, number>>>;
}

/** A value between ops, `[rows, width]`. */
export interface ValueSpec {
  readonly width: number;
  readonly type: 'f32' | 'i32';
}

/**
 * How keys and values are kept. `float32` as they are; `bfloat16` rounded to nearest even (each off by at most 2⁻⁸ of
 * itself); `int8` with one float32 scale per position and key head for the key and one for the value, the largest
 * magnitude / 127 (each off by at most half the scale). Attention computes in float32 with what is stored.
 */
export type KvCacheDType = 'float32' | 'bfloat16' | 'int8';

/** What a sequence keeps between passes for one op. */
export interface KvStateSpec {
  readonly kind: 'kv';
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly dtype: KvCacheDType;
  /** Positions older than this many are never read again (sliding window): the state is a ring. */
  readonly window?: number;
}
/** What a sequence keeps of a layer between passes. */
export type StateSpec = KvStateSpec;
