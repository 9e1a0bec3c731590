import { parseArgs } from 'node:util';
import { UsageError } from '../errors';
import { nearest } from '../nearest';
import { flagOf, isOffered, type Option, type OptionGroup } from './option';

/** An option of some group, by its flag. */
export interface KnownOption {
  readonly group: string;
  readonly key: string;
  readonly flag: string;
  readonly option: Option<unknown>;
}

/** A command line taken apart: values by group and library name. */
export interface ParsedArgs {
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Every option that some groups offer, in order. */
export function knownOptions(groups: Readonly<Record<string, OptionGroup>>): KnownOption[] {
  return Object.entries(groups).flatMap(([group, { options }]) =>
    Object.entries(options).flatMap(([key, option]) =>
      isOffered(option) ? [{ group, key, flag: flagOf(key, option), option }] : [],
    ),
  );
}

/** Throws `UsageError`, with what was probably meant, or what a value's parser throws. */
export function parseCommandLine(argv: readonly string[], groups: Readonly<Record<string, OptionGroup>>): ParsedArgs {
  const known = knownOptions(groups);
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      known.map(({ flag, option }) => [
        flag.slice(2),
        {
          type: option.value === undefined ? ('boolean' as const) : ('string' as const),
          ...(option.short === undefined ? {} : { short: option.short }),
        },
      ]),
    ),
  });
  const given = new Map<KnownOption, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const found = known.find(({ flag }) => flag === `--${token.name}`);
    if (found === undefined) throw unknownOption(token.rawName, known);
    const text = textOf(found, token.value, token.inlineValue === true);
    given.set(found, [...(given.get(found) ?? []), text]);
  }
  const values: Record<string, Record<string, unknown>> = {};
  for (const group of Object.keys(groups)) values[group] = {};
  for (const [{ group, key, flag, option }, texts] of given) values[group]![key] = option.parse(texts, flag);
  return { positionals, values };
}

function unknownOption(name: string, known: readonly KnownOption[]): UsageError {
  const flags = known.map(({ flag }) => flag);
  if (name.startsWith('--')) return new UsageError(`unknown option ${name}`, nearest(name, flags));
  return new UsageError(`unknown option ${name.trim()}; -- goes before an argument that begins with a dash`);
}

/** The text of an option as it stands on the command line; empty for a switch. */
function textOf({ flag, option }: KnownOption, value: string | undefined, inline: boolean): string {
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`${flag} takes no value, found "${value}"`);
    return '';
  }
  if (value === undefined) throw new UsageError(`${flag} needs a value: ${flag} ${option.value}`);
  // `--memory --json` forgot a value; a negative number, or text after "=", is one.
  if (!inline && value.startsWith('-') && value.length > 1 && Number.isNaN(Number(value))) {
    throw new UsageError(`${flag} needs a value, found "${value}"; write ${flag}=${value} if that is the value`);
  }
  return value;
}
