import { AirllmError, OptionError } from '@airllm/loader';
import { knownOptions } from './args/parse';
import type { Command } from './command';
import { StoppedError, UsageError } from './errors';
import { EXIT, type ExitCode } from './exit-codes';
import { doesNotFit, type LengthFacts } from './output/context-length';
import type { Terminal } from './output/terminal';
import { formatBytes, roomyMemory } from './output/units';
import { systemMessage } from './system-message';

interface Circumstances {
  readonly terminal: Terminal;
  readonly command: Command | undefined;
  readonly debug: boolean;
}

/** Says what went wrong in a line or two, and which exit code that is. */
export function reportError(error: unknown, { terminal, command, debug }: Circumstances): ExitCode {
  if (StoppedError.isInstance(error)) return error.exitCode;
  const { message, code, hint } = describe(error, command);
  const { style } = terminal;
  terminal.tell(`${style.red('error:')} ${message}\n${hint === undefined ? '' : `${style.dim(hint)}\n`}`);
  if (debug && error instanceof Error) terminal.tell(`${traces(error)}\n`);
  return code;
}

function describe(error: unknown, command: Command | undefined): { message: string; code: ExitCode; hint?: string } {
  const help = command === undefined ? 'airllm --help' : `airllm ${command.name} --help`;
  if (UsageError.isInstance(error)) return { message: error.message, code: EXIT.usage, hint: `see ${help}` };
  if (OptionError.isInstance(error)) {
    const flag = flagFor(error.option, command);
    const shown = typeof error.found === 'string' ? JSON.stringify(error.found) : String(error.found);
    const found = error.found === undefined ? 'not given' : `found ${shown}`;
    return { message: `${flag}: expected ${error.expected}, ${found}`, code: EXIT.usage, hint: `see ${help}` };
  }
  if (isBudgetError(error)) {
    const flag = flagFor(error.option, command);
    const isMemory = error.option === 'memory';
    return {
      message:
        `${flag}: ${formatBytes(error.found)} are too few for this model, ` +
        `at least ${formatBytes(error.floor)} are needed (${error.floor} bytes)`,
      code: EXIT.budget,
      hint: `try ${flag} ${isMemory ? roomyMemory(error.floor) : error.floor}${isMemory ? ', or less --context' : ''}`,
    };
  }
  if (isContextLengthError(error)) {
    const [length, tokens] = [flagFor('contextLength', command), flagFor('maxNewTokens', command)];
    return {
      message: doesNotFit(error),
      code: EXIT.failure,
      hint: `shorten the prompt, or give less ${tokens} or more ${length}`,
    };
  }
  if (AirllmError.isInstance(error)) {
    const code = PASSING.has(error.code) ? EXIT.network : EXIT.failure;
    return { message: oneLine(error.message), code };
  }
  const fromSystem = systemMessage(error);
  if (fromSystem !== undefined) return { message: fromSystem, code: EXIT.failure };
  // Anything else is our mistake, and its place will be asked for.
  const message = oneLine(error instanceof Error ? error.message : String(error));
  return { message, code: EXIT.failure, hint: 'this may be a fault of airllm; --debug shows where it happened' };
}

/** What may be over when the same command is run again. */
const PASSING: ReadonlySet<string> = new Set(['ERR_HUB_UNAVAILABLE', 'ERR_HUB_RATE_LIMIT']);

/** `--weights-memory` for the library's `weightsMemory`. */
function flagFor(option: string, command: Command | undefined): string {
  const known = command === undefined ? [] : knownOptions(command.groups);
  return known.find(({ key, flag }) => key === option || flag === option)?.flag ?? option;
}

/** By its code, not its class: the class lives in the runtime, which `--help` need not load. */
function isBudgetError(error: unknown): error is AirllmError & { option: string; found: number; floor: number } {
  return AirllmError.isInstance(error) && error.code === 'ERR_BUDGET';
}

function isContextLengthError(error: unknown): error is AirllmError & LengthFacts {
  return AirllmError.isInstance(error) && error.code === 'ERR_CONTEXT_LENGTH';
}

function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, ' ');
}

function traces(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error ? `${stack}\ncaused by ${traces(error.cause)}` : stack;
}
