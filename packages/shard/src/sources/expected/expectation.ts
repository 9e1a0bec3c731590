import type { Components, PackedFormat } from '@airllm/kernels';

/** A weight of a model of which no file is here, and what an index tells of it. */
export interface WeightHint {
  /** As transformers has it, with `.weight`. */
  readonly name: string;
  /** The name without `.weight`. */
  readonly module: string;
  readonly rows: number;
  readonly columns: number;
  /** Whether an index lists the stored tensors. */
  readonly listed: boolean;
  /** Whether the index has a tensor of this name. */
  has(name: string): boolean;
}

export type QuantisationConfig = Readonly<Record<string, unknown>>;

/** What else the configuration says of the model. */
export interface ModelHint {
  /** Dtype of what is dense, and of scales in formats that keep it. */
  readonly dtype: 'F32' | 'F16' | 'BF16';
}

/** How a quantised weight will be computed with. */
export interface ExpectedMatrix {
  readonly format: PackedFormat;
  /** Every matrix has constants of its own; else they are the format's, and in memory once. */
  readonly ownConstants?: true;
  /** Components that no file holds. */
  readonly known?: Components;
}

export type Expectation = (weight: WeightHint) => ExpectedMatrix | undefined;

/** What weights of one way of quantising will be, told by names, shapes and configuration alone. */
export interface ExpectedFormat {
  /** Whether a configuration is of this way. */
  matches(quantisation: QuantisationConfig): boolean;
  expectation(quantisation: QuantisationConfig, model: ModelHint): Expectation;
}

/** Linear layers are in blocks; embeddings and heads stay as they are in every format that needs this guess. */
const IN_BLOCK = /(?:^|\.)(?:layers|h|blocks?)\.\d+\./;

/** Linear layers so small, and so decisive, that tools leave them alone. */
const ROUTER = /(?:^|\.)(?:router|gate|shared_expert_gate)$/;

/**
 * Whether a weight is quantised: where there is an index, a companion of it is listed; else it is in a block, and the
 * configuration does not leave it out.
 */
export function isQuantised(
  weight: WeightHint,
  companions: readonly string[],
  isSkipped: (module: string) => boolean,
): boolean {
  if (weight.listed) return companions.some((name) => weight.has(name));
  return IN_BLOCK.test(weight.name) && !ROUTER.test(weight.module) && !isSkipped(weight.module);
}
