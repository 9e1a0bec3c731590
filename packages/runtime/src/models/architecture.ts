import type { ModelBuilder } from './builder';
import type { ConfigReader } from './config-reader';
import type { ModelConfig } from './model';
import type { StackedTensor } from './stacked';

/**
 * One `model_type`: how its config.json is read and what its forward pass is. It knows nothing of quantisation,
 * streaming, batching or devices.
 */
export interface Architecture<C extends ModelConfig = ModelConfig> {
  readonly modelType: string;
  /** Tensors that checkpoints of this type may hold and the forward pass does not use (saved buffers). */
  readonly ignoredTensors?: readonly RegExp[];
  /** Tensors of all experts in one, which the forward pass asks for one by one. */
  readonly stackedTensors?: readonly StackedTensor[];
  /** Throws `UnsupportedConfigError` naming the key for every value the forward pass does not implement. */
  readConfig(config: ConfigReader): C;
  /** Records the model: one embedding, layers in order, one head. */
  forward(model: ModelBuilder, config: C): void;
}
