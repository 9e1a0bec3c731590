import type { MetaTensor } from '@airllm/loader';
import type { PackedTensor } from '../packed/packed-tensor';
import type { ValueId } from './ops';
import type { KvCacheDType } from './specs';

/** A value of the graph being recorded. */
export interface Value {
  readonly id: ValueId;
  readonly width: number;
}

/** Finds the tensor of a name, of that shape, or throws; the model decides prefixes, aliases and meta tensors. */
export type WeightSource = (name: string, shape: readonly number[]) => MetaTensor | PackedTensor;

/** What holds for all that a builder records. */
export interface GraphBuilderOptions {
  /** How attention keeps keys and values. @defaultValue 'float32' */
  readonly kvCacheDtype?: KvCacheDType | undefined;
}

/** What picks the rows, and what they are multiplied with: see `GraphBuilder.embed`. */
export interface EmbedOptions {
  /** @defaultValue 'token' */
  readonly by?: 'token' | 'position';
  /** Added to the token or position. @defaultValue 0 */
  readonly shift?: number;
  /** @defaultValue 1 */
  readonly scale?: number;
}

/** How a matrix is stored: see `GraphBuilder.linear`. */
export interface LinearOptions {
  /** The projection has a bias tensor. @defaultValue false */
  readonly bias?: boolean;
  /** @defaultValue 'out,in' */
  readonly layout?: 'out,in' | 'in,out';
  /** Widths of the matrices fused into this one, in stored order. */
  readonly parts?: readonly number[];
}

/** How gpt-oss departs from act(gate) · up: see `GraphBuilder.gated`. */
export interface GatedOptions {
  /** The gate is at most this, and up at most this in magnitude. */
  readonly limit?: number | undefined;
  /** Added to up. @defaultValue 0 */
  readonly shift?: number | undefined;
}

/** Heads, and what changes their scores: see `GraphBuilder.attention`. */
export interface AttentionOptions {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** @defaultValue headDim */
  readonly valueDim?: number;
  /** @defaultValue headDim^-0.5 */
  readonly scale?: number;
  readonly softcap?: number | undefined;
  readonly window?: number | undefined;
  /** Tensor `[heads]` of logits that join each head's softmax without a value of their own. */
  readonly sinks?: string | undefined;
}
