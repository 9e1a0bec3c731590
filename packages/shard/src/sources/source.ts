import type { ComponentName, PackedFormat, PackedTensor } from '@airllm/kernels';
import type { DType, MetaTensor } from '@airllm/loader';

/**
 * A model as somebody published it: whatever its files are, its tensors under the names and in the shapes that
 * transformers gives them.
 */
export interface ModelSource {
  readonly kind: SourceKind;
  /** Absolute path of the folder. */
  readonly dir: string;
  /** Absolute paths of the files with weights. */
  readonly files: readonly string[];
  /** As transformers would have it, without its quantisation keys; null if nothing tells it. */
  readonly config: Record<string, unknown> | null;
  /** What the weights were quantised with (`gptq`, `bitsandbytes`, `gguf`, …), or null. */
  readonly quantisation: string | null;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** Files a model needs that are not in the folder but were made from the weights' file (GGUF): name and text. */
  readonly extras: ReadonlyMap<string, string>;
}

/** What the files of a model are: safetensors, layers as this package writes them, PyTorch pickles, GGUF. */
export type SourceKind = 'safetensors' | 'shards' | 'pickle' | 'gguf';

/** Dense and runnable as stored; quantised and runnable as stored; or to be rewritten once. */
export type SourceTensor = MetaTensor | PackedTensor | Conversion;

/** A tensor whose stored layout no executor computes with: what rewrites it, from what, into what. Plain data. */
export interface Conversion {
  readonly kind: 'conversion';
  readonly name: string;
  /** Of the result, in elements of the matrix that is meant. */
  readonly shape: readonly number[];
  /** Name of a codec. */
  readonly codec: string;
  /** Whatever the codec needs to know, as JSON. */
  readonly params: unknown;
  /** Tensors the codec reads, by its own names for them. */
  readonly inputs: Readonly<Record<string, MetaTensor>>;
  readonly output: ConversionOutput;
}

/** A packed matrix (constants are known beforehand), or a dense tensor. */
export type ConversionOutput =
  | { readonly format: PackedFormat; readonly constants?: Float32Array }
  | { readonly dtype: DType };

/** What a codec writes: components of a packed matrix, or `dense`. */
export type OutputName = Exclude<ComponentName, 'constants'> | 'dense';

/**
 * Rewrites one layout. Runs in worker threads, a range of rows at a time, in ascending order, so that no tensor is ever
 * in memory whole. Pure: the same input gives the same bytes.
 */
export interface Codec {
  readonly name: string;
  /**
   * Ranges begin at multiples of this many rows of the result. A row is the last dimension: `[2, 3, 4]` has 6 rows, and a
   * tensor of one dimension is one row.
   */
  rowStep(call: Pick<CodecCall, 'params' | 'shape'>): number;
  convertRows(call: CodecCall): void;
}

export interface CodecCall {
  readonly params: unknown;
  readonly shape: readonly number[];
  /** Rows [from, to) of the result. */
  readonly from: number;
  readonly to: number;
  /** Bytes of an input, at any address, valid until the next read. Inputs of up to 8 MiB may be read in any pattern. */
  read(input: string, byteOffset: number, byteLength: number): Uint8Array;
  /**
   * To be filled, every byte: row-wise outputs for these rows, others (one-dimensional: see `componentShape`) whole, in
   * the first call of a run. Only those that are wanted are there: a tensor is run over more than once where its smaller
   * components do not fit into memory. Each begins at a multiple of its element.
   */
  readonly out: Readonly<Partial<Record<OutputName, Uint8Array>>>;
  /** For codecs that lose something: what these rows lost and what they held, as sums of squares. */
  readonly measure?: ((error: number, norm: number) => void) | undefined;
}

/** Whether a tensor has to be rewritten before it can be computed with. */
export function isConversion(tensor: SourceTensor): tensor is Conversion {
  return 'kind' in tensor && tensor.kind === 'conversion';
}

/**
 * One way of publishing quantised weights as safetensors or pickles. A format looks at the tensors that are there (the
 * config's lists are hints at best), takes those it knows, and leaves all others alone.
 */
export interface QuantFormat {
  /** Of `quant_method`, or our own name where there is none. */
  readonly name: string;
  /** Whether a checkpoint is of this format: from its config, its metadata, or what its tensors are called. */
  detect(raw: RawCheckpoint): boolean;
  /**
   * The model's tensors. Names not returned stay as they are; a raw tensor that belongs to a returned one is listed in
   * `used`. Throws `FormatError` (file and tensor named) for layouts that make no sense, `UnsupportedCheckpointError`
   * for known variants that are not supported, by name and with what to do.
   */
  resolve(raw: RawCheckpoint): Promise<ResolvedTensors>;
}

export interface ResolvedTensors {
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** Raw tensors that are part of these, or are known and not needed (activation scales, format markers). */
  readonly used: ReadonlySet<string>;
}

/** A checkpoint before anybody has said what its tensors mean. */
export interface RawCheckpoint {
  readonly dir: string;
  readonly config: Record<string, unknown> | null;
  /** `quantization_config` (or `quantization`, `compression_config`, or a file beside the config), if any. */
  readonly quantisation: Record<string, unknown> | null;
  readonly tensors: ReadonlyMap<string, MetaTensor>;
  /** `__metadata__` of the files, merged. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Reads a small tensor (a blob, a table); at most 1 MiB. */
  read(tensor: MetaTensor): Promise<Uint8Array>;
  /** Reads a JSON file of the folder, or null if it is not there. */
  readJson(name: string): Promise<Record<string, unknown> | null>;
}
