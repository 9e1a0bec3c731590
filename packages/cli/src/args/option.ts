import { UsageError } from '../errors';

/** An option of the command line, and how its texts become a value of the library. */
export interface Option<Value> {
  /** Without dashes. @defaultValue the key in kebab-case */
  readonly name?: string;
  /** One letter. */
  readonly short?: string;
  /** What stands for its value in the help; absent for a switch. */
  readonly value?: string;
  readonly help: string;
  /** Throws `UsageError` or `OptionError` naming `flag`. */
  readonly parse: (texts: readonly string[], flag: string) => Value;
}

/** An option of a library that the command line does not offer, and why. */
export interface Declined {
  readonly declined: string;
}

export type OptionTable = Readonly<Record<string, Option<unknown> | Declined>>;

/**
 * An entry for every option of a library's interface, of a type it takes. An option that is added there fails to compile
 * here until it is offered or declined.
 */
export type Covers<Options> = {
  readonly [Key in keyof Required<Options>]: Option<NonNullable<Options[Key]>> | Declined;
};

/** What a table's options parse to, under the library's names; options that were not given are absent. */
export type Values<Table extends OptionTable> = {
  readonly [Key in keyof Table as Table[Key] extends Declined ? never : Key]?: Table[Key] extends Option<infer Value>
    ? Value
    : never;
};

/** Options that belong together, under one heading of the help. */
export interface OptionGroup<Table extends OptionTable = OptionTable> {
  readonly title: string;
  readonly options: Table;
}

interface Described {
  readonly name?: string;
  readonly short?: string;
  readonly value: string;
  readonly help: string;
}

export function text(described: Described): Option<string> {
  return { ...described, parse: (texts) => texts.at(-1)! };
}

/** May be given again; each adds one. */
export function list(described: Described): Option<readonly string[]> {
  return { ...described, parse: (texts) => texts };
}

/** Ranges are the library's to check: it knows them, and names the option. */
export function number(described: Described): Option<number> {
  return {
    ...described,
    parse: (texts, flag) => {
      const found = texts.at(-1)!;
      const value = found.trim() === '' ? Number.NaN : Number(found);
      if (!Number.isFinite(value)) throw new UsageError(`${flag}: expected a number, found "${found}"`);
      return value;
    },
  };
}

/** One of a library's names; a record of them, so that a name added there fails to compile until it is here. */
export function choice<Choice extends string>(
  choices: Readonly<Record<Choice, true>>,
  described: Omit<Described, 'value'>,
): Option<Choice> {
  const names = Object.keys(choices) as Choice[];
  return {
    ...described,
    value: names.join('|'),
    parse: (texts, flag) => {
      const found = names.find((each) => each === texts.at(-1));
      if (found === undefined) throw new UsageError(`${flag}: expected ${names.join(', ')}, found "${texts.at(-1)}"`);
      return found;
    },
  };
}

export function toggle<const Value = true>(described: Omit<Described, 'value'>, value = true as Value): Option<Value> {
  return { ...described, parse: () => value };
}

export function isOffered(entry: Option<unknown> | Declined): entry is Option<unknown> {
  return !('declined' in entry);
}

/** `--max-new-tokens` for `maxNewTokens`. */
export function flagOf(key: string, option: Option<unknown>): string {
  return `--${option.name ?? key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
