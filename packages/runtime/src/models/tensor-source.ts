import { type DType, MetaTensor } from '@airllm/loader';
import type { TensorMismatch } from '../errors';
import type { ModelTensor } from './model';
import { type StackedTensor, unstack } from './stacked';

/** Where a model's tensors come from: a checkpoint, or nowhere yet. */
export interface TensorSource {
  /**
   * The tensor of the first of `names` that exists, or a meta tensor in its place where none does: what is wrong is
   * collected, so that one error can name everything.
   */
  resolve(names: readonly string[], shape: readonly number[]): ModelTensor;
  /** Whether a tensor is stored under this very name; on meta nothing is. */
  has(name: string): boolean;
  /** What was wrong so far, and what nobody asked for. */
  problems(ignored: readonly RegExp[]): TensorProblems;
}

export interface TensorProblems {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misshapen: readonly TensorMismatch[];
  readonly uncomputable: readonly TensorMismatch[];
}

/** Element types that executors read as weights. */
const COMPUTABLE: readonly DType[] = ['F32', 'F16', 'BF16'];

/** Prefixes of the base model, which checkpoints of the base model alone lack (`model.layers.0…` → `layers.0…`). */
const BASE_PREFIX = /^(model|transformer)\./;

/** What a tensor of a quantised checkpoint is, told by name and shape; undefined for those that stay dense. */
export type QuantisedOnMeta = (name: string, shape: readonly number[]) => ModelTensor | undefined;

/** Tensors on meta: a model made from a configuration alone. */
export class MetaSource implements TensorSource {
  readonly #dtype: DType;
  readonly #quantised: QuantisedOnMeta;
  readonly #made = new Map<string, ModelTensor>();

  constructor(dtype: DType, quantised: QuantisedOnMeta = () => undefined) {
    this.#dtype = dtype;
    this.#quantised = quantised;
  }

  resolve(names: readonly string[], shape: readonly number[]): ModelTensor {
    const known = names.map((name) => this.#made.get(name)).find((tensor) => tensor !== undefined);
    if (known !== undefined) return known;
    const name = names[0]!;
    const tensor = this.#quantised(name, shape) ?? new MetaTensor({ name, dtype: this.#dtype, shape });
    this.#made.set(tensor.name, tensor);
    return tensor;
  }

  has(): boolean {
    return false;
  }

  problems(): TensorProblems {
    return { missing: [], unexpected: [], misshapen: [], uncomputable: [] };
  }
}

/** Tensors of a checkpoint. */
export class CheckpointSource implements TensorSource {
  readonly #stored: ReadonlyMap<string, ModelTensor>;
  /** Stacked ones taken apart. */
  readonly #tensors: ReadonlyMap<string, ModelTensor>;
  readonly #used = new Set<string>();
  readonly #missing: string[] = [];
  readonly #misshapen: TensorMismatch[] = [];
  readonly #uncomputable: TensorMismatch[] = [];

  constructor(tensors: ReadonlyMap<string, ModelTensor>, stacked: readonly StackedTensor[] = []) {
    this.#stored = tensors;
    this.#tensors = unstack(tensors, stacked);
  }

  resolve(names: readonly string[], shape: readonly number[]): ModelTensor {
    const tensor = this.#find(names);
    const standIn = () => new MetaTensor({ name: names[0]!, dtype: 'F32', shape });
    if (tensor === undefined) {
      this.#missing.push(names[0]!);
      return standIn();
    }
    this.#used.add(tensor.name);
    if (MetaTensor.isInstance(tensor) && !COMPUTABLE.includes(tensor.dtype)) {
      this.#uncomputable.push({ name: tensor.name, expected: COMPUTABLE.join(', '), found: tensor.dtype });
      return standIn();
    }
    if (tensor.shape.length !== shape.length || tensor.shape.some((size, i) => size !== shape[i])) {
      this.#misshapen.push({ name: tensor.name, expected: `[${shape}]`, found: `[${tensor.shape}]` });
      return standIn();
    }
    return tensor;
  }

  problems(ignored: readonly RegExp[]): TensorProblems {
    const unexpected = [...this.#tensors.values()]
      // A tensor without elements can hold nothing that was meant.
      .filter(({ name, elementCount }) => elementCount > 0 && !this.#used.has(name))
      .map(({ name }) => name)
      .filter((name) => !ignored.some((pattern) => pattern.test(name)));
    return {
      missing: this.#missing,
      unexpected,
      misshapen: this.#misshapen,
      uncomputable: this.#uncomputable,
    };
  }

  has(name: string): boolean {
    return this.#stored.has(name) || this.#stored.has(name.replace(BASE_PREFIX, ''));
  }

  #find(names: readonly string[]): ModelTensor | undefined {
    for (const name of names) {
      const tensor = this.#tensors.get(name) ?? this.#tensors.get(name.replace(BASE_PREFIX, ''));
      if (tensor !== undefined) return tensor;
    }
    return undefined;
  }
}
