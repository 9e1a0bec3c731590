import { OptionError } from '@airllm/loader';

/** Every name that options of a type may have; the compiler holds it complete. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/**
 * Refuses a name that nobody reads: without types, a misspelt limit would be no limit.
 * Throws `OptionError` with the names there are.
 */
export function checkOptionNames(options: object, names: Readonly<Record<string, true>>): void {
  for (const [option, found] of Object.entries(options)) {
    if (found === undefined || Object.hasOwn(names, option)) continue;
    throw new OptionError({ option, expected: `one of ${Object.keys(names).join(', ')}`, found });
  }
}
