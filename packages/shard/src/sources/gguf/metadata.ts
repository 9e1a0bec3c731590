import { FormatError } from '@airllm/loader';
import type { SourceFiles } from '../source-files';
import { readNumbers, readStrings } from './read-array';
import type { GgufArray, GgufValue } from './value-types';

/**
 * Typed access to the metadata of a model. A value of the wrong kind is a `FormatError` that names the key; a key that
 * is not there is undefined, or an error where it is required.
 */
export class GgufMetadata {
  readonly file: string;
  readonly #values: ReadonlyMap<string, GgufValue>;
  readonly #files: SourceFiles;

  /** `files` is where arrays are read from. */
  constructor(file: string, values: ReadonlyMap<string, GgufValue>, files: SourceFiles) {
    this.file = file;
    this.#files = files;
    this.#values = values;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  keys(): Iterable<string> {
    return this.#values.keys();
  }

  string(key: string): string | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    return value.type === 'string' ? value.value : this.fail(key, `must be a string, found ${value.type}`);
  }

  bool(key: string): boolean | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    return value.type === 'bool' ? value.value : this.fail(key, `must be a bool, found ${value.type}`);
  }

  number(key: string): number | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    if (value.type === 'array' || value.type === 'string' || value.type === 'bool') {
      return this.fail(key, `must be a number, found ${value.type}`);
    }
    const number = Number(value.value);
    if (!Number.isFinite(number)) return this.fail(key, `must be a finite number, found ${number}`);
    return value.type === 'f32' ? shortest(number) : number;
  }

  /** A count: a whole number of at least `min`. */
  int(key: string, min = 1): number | undefined {
    const number = this.number(key);
    if (number === undefined || (Number.isSafeInteger(number) && number >= min)) return number;
    return this.fail(key, `must be a whole number of at least ${min}, found ${number}`);
  }

  requiredInt(key: string, min = 1): number {
    return this.int(key, min) ?? this.fail(key, 'is missing');
  }

  requiredString(key: string): string {
    return this.string(key) ?? this.fail(key, 'is missing');
  }

  /** A count that may be given per layer, as long as it is the same for all. */
  async uniformInt(key: string, min = 1): Promise<number | undefined> {
    const array = this.#values.get(key);
    if (array?.type !== 'array') return this.int(key, min);
    const [first, ...others] = await readNumbers(key, array, this.#files);
    if (first === undefined || others.some((other) => other !== first)) {
      return this.fail(key, 'differs between layers, which is not supported');
    }
    if (!Number.isSafeInteger(first) || first < min) return this.fail(key, `must be at least ${min}, found ${first}`);
    return first;
  }

  async strings(key: string): Promise<string[] | undefined> {
    const array = this.#array(key);
    return array && readStrings(key, array, this.#files);
  }

  async numbers(key: string): Promise<Float64Array | undefined> {
    const array = this.#array(key);
    return array && readNumbers(key, array, this.#files);
  }

  /** Throws the `FormatError` of a key. */
  fail(key: string, reason: string): never {
    throw new FormatError({ file: this.file, reason: `metadata "${key}" ${reason}` });
  }

  #array(key: string): GgufArray | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    return value.type === 'array' ? value : this.fail(key, `must be an array, found ${value.type}`);
  }
}

/**
 * The shortest decimal that is this float32: files store 1e-5 as 9.999999747378752e-6, and the model's own
 * config.json said 1e-5.
 */
export function shortest(float32: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(float32.toPrecision(digits));
    if (Math.fround(short) === float32) return short;
  }
  return float32;
}
