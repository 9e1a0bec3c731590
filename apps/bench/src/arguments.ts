import { parseArgs } from 'node:util';
import { OptionError } from '@airllm/loader';

/** A bench was called without what it needs; the message is its usage. */
export class UsageError extends Error {
  constructor(usage: string, reason?: string) {
    super(`usage: ${usage}${reason === undefined ? '' : `\n${reason}`}`);
    this.name = 'UsageError';
  }
}

/** Whether an error is about how a bench was called: it is told without a stack. */
export function isUsageError(error: unknown): error is Error {
  if (error instanceof UsageError || OptionError.isInstance(error)) return true;
  return error instanceof TypeError && String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
}

/** What each option is where it is not given: a text, `false` for a flag, or nothing. */
type Defaults = Readonly<Record<string, string | false | undefined>>;

type Values<D extends Defaults> = {
  readonly [Name in keyof D]: D[Name] extends false ? boolean : D[Name] extends string ? string : string | undefined;
};

/** The options of a bench that takes nothing else. Throws what {@link isUsageError} knows. */
export function readOptions<const D extends Defaults>(args: string[], defaults: D): Values<D> {
  return read(args, defaults, false).values;
}

/** Options, and whatever else is given. Throws what {@link isUsageError} knows. */
export function readArguments<const D extends Defaults>(args: string[], defaults: D) {
  return read(args, defaults, true);
}

/** Options, and the one folder (or file) that a bench works on. Throws what {@link isUsageError} knows. */
export function readFolderAndOptions<const D extends Defaults>(args: string[], usage: string, defaults: D) {
  const { values, positionals } = readArguments(args, defaults);
  return { dir: oneFolder(positionals, usage), values };
}

function read<D extends Defaults>(args: string[], defaults: D, allowPositionals: boolean) {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      value === false
        ? { type: 'boolean' as const, default: false }
        : { type: 'string' as const, ...(value === undefined ? {} : { default: value }) },
    ]),
  );
  const { values, positionals } = parseArgs({ args, options, allowPositionals });
  return { values: values as Values<D>, positionals };
}

/** The one folder among what is no option. Throws `UsageError`. */
export function oneFolder(positionals: readonly string[], usage: string): string {
  const [dir] = positionals;
  if (dir === undefined || positionals.length > 1) throw new UsageError(usage);
  return dir;
}

/** A whole number of at least 1. Throws `OptionError`. */
export function count(value: string, option: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) {
    throw new OptionError({ option: `--${option}`, expected: 'a whole number of at least 1', found: value });
  }
  return number;
}

/** Numbers above 0, separated by commas. Throws `OptionError`. */
export function numbers(value: string, option: string): number[] {
  return value.split(',').map((part) => {
    const number = Number(part);
    if (part.trim() === '' || !Number.isFinite(number) || number <= 0) {
      throw new OptionError({ option: `--${option}`, expected: 'numbers above 0 separated by commas', found: value });
    }
    return number;
  });
}
