import type { ActivationName } from '@airllm/kernels';
import { ConfigError, UnsupportedConfigError } from '../errors';

export interface NumberOptions {
  /** Taken where the key is absent or null; without it the key is required. */
  readonly default?: number;
  /** @defaultValue 1 for `int`, unbounded for `number` */
  readonly min?: number;
  readonly max?: number;
}

/**
 * Larger than any dimension of a published model by three orders (the largest vocabulary is 262,208, the widest MLP
 * 53,248), and small enough that the product of two is an exact integer.
 */
const MAX_DIMENSION = 2 ** 26;
/** The deepest published models have under 200 layers; beyond this the graphs themselves would fill the memory. */
const MAX_LAYERS = 4096;

/** Names of transformers' `ACT2FN` that are the same function under ours. */
const ACTIVATIONS: Readonly<Record<string, ActivationName>> = {
  gelu: 'gelu',
  gelu_accurate: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_new: 'gelu_tanh',
  gelu_python: 'gelu',
  gelu_python_tanh: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  quick_gelu: 'gelu_quick',
  relu: 'relu',
  relu2: 'relu2',
  sigmoid: 'sigmoid',
  silu: 'silu',
  swish: 'silu',
  tanh: 'tanh',
};

/**
 * Typed access to a config.json that nobody has checked. A value of the wrong kind is a `ConfigError` and one that is
 * not implemented an `UnsupportedConfigError`; both name the key. An absent key and null mean the default, as they do
 * for transformers' config classes; where those two differ, `optionalInt` tells them apart.
 */
export class ConfigReader {
  readonly raw: Readonly<Record<string, unknown>>;
  /** Path of this object in the file, with its final dot; empty for the whole file. */
  readonly path: string;

  /** Throws `ConfigError` if `raw` is not an object. */
  constructor(raw: unknown, path = '') {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
      throw new ConfigError({ key: path.replace(/\.$/, '') || '(whole file)', found: raw, expected: 'an object' });
    }
    this.raw = raw as Record<string, unknown>;
    this.path = path;
  }

  keys(): string[] {
    return Object.keys(this.raw);
  }

  /** The key exists and is not null. */
  has(key: string): boolean {
    return this.#get(key) !== undefined;
  }

  int(key: string, options: NumberOptions = {}): number {
    const { min = 1, max = MAX_DIMENSION } = options;
    const value = this.#number(key, options);
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      throw this.#error(key, `a whole number from ${min} to ${max}`);
    }
    return value;
  }

  /** Undefined where the key is null; where it is absent, the default (which may be undefined too). */
  optionalInt(key: string, options: NumberOptions = {}): number | undefined {
    if (this.raw[key] === null) return undefined;
    return this.has(key) ? this.int(key, options) : options.default;
  }

  number(key: string, options: NumberOptions = {}): number {
    const value = this.#number(key, options);
    if (value < (options.min ?? -Infinity) || value > (options.max ?? Infinity)) {
      throw this.#error(key, `a number from ${options.min ?? '-∞'} to ${options.max ?? '∞'}`);
    }
    return value;
  }

  optionalNumber(key: string, options: NumberOptions = {}): number | undefined {
    return this.has(key) ? this.number(key, options) : options.default;
  }

  bool(key: string, options: { readonly default: boolean }): boolean {
    const value = this.#get(key) ?? options.default;
    if (typeof value !== 'boolean') throw this.#error(key, 'true or false');
    return value;
  }

  /** A string out of those that are implemented. */
  oneOf<T extends string>(key: string, supported: readonly T[], options: { readonly default: T }): T {
    const value = this.#get(key) ?? options.default;
    if (typeof value !== 'string') throw this.#error(key, 'a string');
    if (!(supported as readonly string[]).includes(value)) {
      throw new UnsupportedConfigError({ key: this.path + key, found: value, supported });
    }
    return value as T;
  }

  numbers(key: string): number[] {
    const value = this.#get(key);
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'number' && Number.isFinite(item))) {
      throw this.#error(key, 'a list of numbers');
    }
    return value;
  }

  /** The object under a key, or undefined. */
  object(key: string): ConfigReader | undefined {
    const value = this.#get(key);
    return value === undefined ? undefined : new ConfigReader(value, `${this.path}${key}.`);
  }

  /** An activation function by its name in transformers. */
  activation(key: string, options: { readonly default: string }): ActivationName {
    return ACTIVATIONS[this.oneOf(key, Object.keys(ACTIVATIONS), options)]!;
  }

  layerCount(key: string, options: { readonly default: number }): number {
    return this.int(key, { ...options, max: MAX_LAYERS });
  }

  /** `num_key_value_heads`: null means as many as heads, absent means the class's default. */
  kvHeads(headCount: number, options: { readonly default?: number } = {}): number {
    const count = this.optionalInt('num_key_value_heads', options) ?? headCount;
    if (headCount % count !== 0) throw this.#error('num_key_value_heads', `a divisor of ${headCount} heads`);
    return count;
  }

  /** `head_dim`, else the hidden width over the heads, which must then divide it. */
  headDim(hiddenSize: number, headCount: number): number {
    const given = this.optionalInt('head_dim');
    if (given !== undefined) return given;
    if (hiddenSize % headCount !== 0) {
      throw new ConfigError({
        key: `${this.path}hidden_size`,
        found: hiddenSize,
        expected: `a multiple of ${headCount} attention heads, or head_dim`,
      });
    }
    return hiddenSize / headCount;
  }

  /** `layer_types`, or undefined where the file has none; a name outside `supported` is refused. */
  layerTypes<T extends string>(layerCount: number, supported: readonly T[]): readonly T[] | undefined {
    const value = this.#get('layer_types');
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.length !== layerCount) {
      throw this.#error('layer_types', `a list of ${layerCount} names`);
    }
    const odd = value.find((type) => !(supported as readonly unknown[]).includes(type));
    if (odd !== undefined) {
      throw new UnsupportedConfigError({ key: `${this.path}layer_types`, found: odd, supported });
    }
    return value;
  }

  /** Refuses a key whose value is anything but the given neutral ones (or null, or absent). */
  refuse(key: string, neutral: readonly unknown[] = []): void {
    const value = this.#get(key);
    if (value === undefined || neutral.includes(value)) return;
    const supported = neutral.map((item) => JSON.stringify(item));
    throw new UnsupportedConfigError({ key: this.path + key, found: value, supported });
  }

  #get(key: string): unknown {
    // Own keys only: a file may well have no key that every object inherits.
    return Object.hasOwn(this.raw, key) ? (this.raw[key] ?? undefined) : undefined;
  }

  #number(key: string, options: NumberOptions): number {
    const value = this.#get(key) ?? options.default;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#error(key, 'a number');
    return value;
  }

  #error(key: string, expected: string): ConfigError {
    return new ConfigError({ key: this.path + key, found: this.raw[key], expected });
  }
}
