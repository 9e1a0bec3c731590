import { type DType, dtypeBits, isDType, type MetaTensor } from '@airllm/loader';
import type { ModelTensor } from './model';
import type { QuantisedOnMeta } from './tensor-source';

/** Tensors of one element type. */
export interface DTypeShare {
  /** A dtype, or what a quantised matrix is called for short. */
  readonly dtype: string;
  readonly tensors: number;
  readonly bytes: number;
}

/** What can be said of a model without reading a weight. */
export interface ModelDescription {
  readonly modelType: string;
  /** The model type is implemented: its graphs can be built, and figures are exact. */
  readonly known: boolean;
  /** `exact` is false where the number was estimated from sizes and dtype; undefined where nothing tells it. */
  readonly parameters: { readonly count: number; readonly exact: boolean } | undefined;
  /** Bytes of all tensors as they are computed with. */
  readonly weightBytes: { readonly count: number; readonly exact: boolean } | undefined;
  /** Sorted by bytes, largest first; empty where neither headers nor config tell. */
  readonly dtypes: readonly DTypeShare[];
  readonly layerCount: number | undefined;
  /** Bytes of each layer, in order; empty where it is not known which tensor belongs to which. */
  readonly layerBytes: readonly number[];
  readonly embeddingBytes: number | undefined;
  readonly headBytes: number | undefined;
  readonly maxPositions: number | undefined;
  readonly state: StateDescription | undefined;
  /** `quant_method` of a compressed checkpoint. */
  readonly quantisation: string | undefined;
}

/** Layers that keep keys and values alike. */
export interface StateGroup {
  readonly layers: number;
  /** Positions each layer keeps at most (a pass adds its own rows); undefined keeps all. */
  readonly window: number | undefined;
  /** Keys and values of all these layers as they are kept; in float32 2 · layers · kv heads · head dim · 4. */
  readonly bytesPerPosition: number;
}

/** What a sequence keeps between passes. */
export interface StateDescription {
  readonly groups: readonly StateGroup[];
  readonly exact: boolean;
}

/** Bytes of a state of `length` positions; layers with a window stop growing there. */
export function stateBytesAt(state: StateDescription, length: number): number {
  return state.groups.reduce(
    (sum, group) => sum + group.bytesPerPosition * Math.min(length, group.window ?? length),
    0,
  );
}

/** What is at hand besides config.json: all headers, or only what an index tells. */
export interface DescribeSource {
  /** As they are computed with: after the conversion, where one is needed. */
  readonly tensors?: ReadonlyMap<string, ModelTensor>;
  /** Bytes of all weights as published. */
  readonly totalBytes?: number | null;
  /** What the weights are quantised by, where config.json does not say it. */
  readonly quantisation?: string | null;
  /** Without tensors: which of them are quantised, and how (see `quantisedOnMeta` of @airllm/shard). */
  readonly quantised?: QuantisedOnMeta;
}

export function dtypeShares(tensors: Iterable<ModelTensor>): DTypeShare[] {
  const shares = new Map<string, { dtype: string; tensors: number; bytes: number }>();
  for (const tensor of tensors) {
    const dtype = 'format' in tensor ? tensor.label : tensor.dtype;
    const { byteLength } = tensor;
    const share = shares.get(dtype) ?? { dtype, tensors: 0, bytes: 0 };
    share.tensors++;
    share.bytes += byteLength;
    shares.set(dtype, share);
  }
  return [...shares.values()].sort((a, b) => b.bytes - a.bytes);
}

export function sumBytes(tensors: Iterable<Pick<MetaTensor, 'byteLength'>>): number {
  let bytes = 0;
  for (const tensor of tensors) bytes += tensor.byteLength;
  return bytes;
}

/** Names of torch's dtypes, as `dtype` (transformers 5) and `torch_dtype` (4) give them. */
const TORCH_DTYPES: Readonly<Record<string, DType>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float8_e4m3fn: 'F8_E4M3',
};

/** The dtype config.json names. Where it names none: bfloat16, since nearly all published weights have two bytes. */
export function configDType(rawConfig: Record<string, unknown>): DType {
  const name = rawConfig.dtype ?? rawConfig.torch_dtype;
  if (typeof name !== 'string') return 'BF16';
  if (isDType(name)) return name;
  return TORCH_DTYPES[name.replace(/^torch\./, '')] ?? 'BF16';
}

export function bytesOf(dtype: DType): number {
  return dtypeBits(dtype) / 8;
}
