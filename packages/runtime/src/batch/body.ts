import { isJsonObject, type JsonObject } from '../text/json-file';
import { badField, LineProblem } from './errors';

/** Reads the fields of a request's body; what nobody has read in the end is unknown. Null counts as absent. */
export class Body {
  readonly #fields: JsonObject;
  readonly #read = new Set<string>();

  constructor(fields: JsonObject) {
    this.#fields = fields;
  }

  get(key: string): unknown {
    this.#read.add(key);
    return Object.hasOwn(this.#fields, key) ? (this.#fields[key] ?? undefined) : undefined;
  }

  number(key: string, least: number, most: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && value >= least && value <= most) return value;
    throw badField(key, `a number from ${least} to ${most}`, value);
  }

  whole(key: string, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw badField(key, `a whole number ${range}`, value);
  }

  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    throw badField(key, 'true or false', value);
  }

  strings(key: string): string | readonly string[] | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'string') return value;
    if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
    throw badField(key, 'a string or a list of strings', value);
  }

  object(key: string): JsonObject | undefined {
    const value = this.get(key);
    if (value === undefined || isJsonObject(value)) return value;
    throw badField(key, 'an object', value);
  }

  list(key: string): readonly unknown[] | undefined {
    const value = this.get(key);
    if (value === undefined || Array.isArray(value)) return value;
    throw badField(key, 'a list', value);
  }

  /** Fields that say nothing about the answer. */
  ignore(...keys: readonly string[]): void {
    for (const key of keys) this.#read.add(key);
  }

  /** A field that is only known with a value that asks for nothing. */
  only(key: string, ...neutral: readonly unknown[]): void {
    const value = this.get(key);
    const known = neutral.map((each) => JSON.stringify(each));
    if (value === undefined || known.includes(JSON.stringify(value))) return;
    throw badField(key, `${known.length === 0 ? 'null' : known.join(' or ')}, since it is not implemented`, value);
  }

  /** Throws for the first field that nobody has read. */
  end(): void {
    for (const key of Object.keys(this.#fields)) {
      if (this.#read.has(key)) continue;
      throw new LineProblem('invalid_request', `${key}: unknown`, key);
    }
  }
}
