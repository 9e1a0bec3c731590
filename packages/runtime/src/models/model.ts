import type { Block, PackedTensor } from '@airllm/kernels';
import { MetaTensor } from '@airllm/loader';

/** What every architecture's config tells the rest of the runtime. Field names are ours, in elements and positions. */
export interface ModelConfig {
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly layerCount: number;
  /** Context length the model was made for. */
  readonly maxPositions: number;
  readonly tiedEmbeddings: boolean;
  /**
   * Sequence length beyond which the model rotates keys differently (longrope): a sequence that grows past it is
   * prefilled again, as transformers does.
   */
  readonly ropeSwitchLength?: number;
}

/** A tensor as an executor computes with it: dense, or a quantised matrix. */
export type ModelTensor = MetaTensor | PackedTensor;

/** A model as data: graphs over meta tensors, in the order they run. No weight has been read. */
export interface Model {
  readonly config: ModelConfig;
  /** Looks rows up; output `hidden`. */
  readonly embedding: Block;
  readonly layers: readonly Block[];
  /** Runs on the rows that want logits; input `hidden`, output `logits`. */
  readonly head: Block;
  /** Every tensor the model uses, once, by its name in the checkpoint. */
  readonly tensors: ReadonlyMap<string, ModelTensor>;
  /** Elements of all distinct tensors. */
  readonly parameterCount: number;
}

/** The tensors a model is stored as: a quantised matrix by its components. */
export function storedTensors(model: Pick<Model, 'tensors'>): MetaTensor[] {
  return [...model.tensors.values()].flatMap((tensor) =>
    MetaTensor.isInstance(tensor) ? [tensor] : tensor.parts().map(([, part]) => part),
  );
}
