import { type Block, GraphBuilder, type GraphBuilderOptions } from '@airllm/kernels';
import { ModelTensorError } from '../errors';
import type { Model, ModelConfig, ModelTensor } from './model';
import type { TensorSource } from './tensor-source';

/** Records one block; tensor names are relative to the block's prefix. */
export type RecordBlock = (b: GraphBuilder) => void;

/** Two names of one tensor, and the stored name that was found for it first. */
interface TiedPair {
  readonly names: readonly [string, string];
  stored?: string;
}

/** Buffers that old checkpoints saved and every implementation computes anew. */
const COMMON_BUFFERS: readonly RegExp[] = [/(^|\.)rotary_emb\.inv_freq$/];

/**
 * Collects the blocks of one model and the tensors they use. An architecture calls `embedding` and `head` once and
 * `layer` once per layer, in order. Problems with tensors wait for `build`, which reports all of them at once.
 */
export class ModelBuilder {
  readonly #modelType: string;
  readonly #source: TensorSource;
  readonly #ignored: readonly RegExp[];
  readonly #graphs: GraphBuilderOptions;
  readonly #tied = new Map<string, TiedPair>();
  readonly #tensors = new Map<string, ModelTensor>();
  /** Copies of tied tensors: used, but not parameters of their own. */
  readonly #copies = new Set<string>();
  readonly #layers: Block[] = [];
  #embedding: Block | undefined;
  #head: Block | undefined;

  /** `ignored` are names that checkpoints of this type may hold and the architecture does not use. */
  constructor(
    modelType: string,
    source: TensorSource,
    ignored: readonly RegExp[] = [],
    graphs: GraphBuilderOptions = {},
  ) {
    this.#modelType = modelType;
    this.#source = source;
    this.#ignored = [...COMMON_BUFFERS, ...ignored];
    this.#graphs = graphs;
  }

  /**
   * Two names of one tensor. A checkpoint may store either, or both (then each is read where it is used, which is what
   * transformers does if they differ).
   */
  tie(name: string, other: string): void {
    const pair: TiedPair = { names: [name, other] };
    this.#tied.set(name, pair);
    this.#tied.set(other, pair);
  }

  /** Whether the checkpoint has a tensor of this name, stacked ones by their stored name. */
  has(name: string): boolean {
    return this.#source.has(name);
  }

  /** Prefixes end with their dot, or are empty. */
  embedding(prefix: string, record: RecordBlock): void {
    this.#embedding = this.#record(prefix, 'embedding', record);
  }

  layer(prefix: string, record: RecordBlock): void {
    this.#layers.push(this.#record(prefix, `layer ${this.#layers.length}`, record));
  }

  head(prefix: string, record: RecordBlock): void {
    this.#head = this.#record(prefix, 'head', record);
  }

  /** Throws `ModelTensorError` naming every tensor that is missing, unexpected, misshapen or not computable. */
  build(config: ModelConfig): Model {
    const problems = this.#source.problems(this.#ignored);
    if (Object.values(problems).some((names) => names.length > 0)) {
      throw new ModelTensorError({ modelType: config.modelType, ...problems });
    }
    if (!this.#embedding || !this.#head || this.#layers.length !== config.layerCount) {
      throw new Error(
        `${config.modelType}: forward() must record an embedding, ${config.layerCount} layers and a head`,
      );
    }
    let parameterCount = 0;
    for (const [name, tensor] of this.#tensors) if (!this.#copies.has(name)) parameterCount += tensor.elementCount;
    return {
      config,
      embedding: this.#embedding,
      layers: this.#layers,
      head: this.#head,
      tensors: this.#tensors,
      parameterCount,
    };
  }

  #record(prefix: string, name: string, record: RecordBlock): Block {
    const b = new GraphBuilder((relative, shape) => this.#tensor(prefix + relative, shape), this.#graphs);
    try {
      record(b);
      return b.build(name);
    } catch (error) {
      // A graph that stumbled over a stand-in for a missing tensor: the tensor is the cause, and worth naming.
      const { missing, misshapen, uncomputable } = this.#source.problems(this.#ignored);
      if (missing.length + misshapen.length + uncomputable.length === 0) throw error;
      const modelType = this.#modelType;
      throw new ModelTensorError({ modelType, missing, misshapen, uncomputable, unexpected: [] });
    }
  }

  #tensor(name: string, shape: readonly number[]): ModelTensor {
    const pair = this.#tied.get(name);
    const other = pair?.names.find((twin) => twin !== name);
    const tensor = this.#source.resolve(other === undefined ? [name] : [name, other], shape);
    if (pair !== undefined) {
      pair.stored ??= tensor.name;
      if (pair.stored !== tensor.name) this.#copies.add(tensor.name);
    }
    this.#tensors.set(tensor.name, tensor);
    return tensor;
  }
}
