import { OptionError } from '@airllm/loader';
import { parseByteSize } from '@airllm/runtime';
import type { CgroupLimits } from './cgroup';

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

/** The one folder a bench works on. Throws `UsageError`. */
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

/** Sizes such as `600MB,4GiB`. Throws `OptionError`. */
export function sizes(value: string, option: string): number[] {
  return value.split(',').map((part) => parseByteSize(part, `--${option}`));
}

/** The drive's cap that `--read-bps` asks for, on the drive of a folder; undefined where it does not. */
export function readCap(rate: string | undefined, path: string): CgroupLimits['read'] {
  return rate === undefined ? undefined : { bytesPerSecond: parseByteSize(rate, '--read-bps'), path };
}
