import type { OptionGroup, Values } from './args/option';
import type { ParsedArgs } from './args/parse';
import type { ExitCode } from './exit-codes';
import type { Interrupts } from './interrupts';
import type { CliIo } from './io';
import type { Terminal } from './output/terminal';

/** What a command works with. */
export interface Context {
  readonly io: CliIo;
  readonly terminal: Terminal;
  readonly interrupts: Interrupts;
  /** Aborted by Ctrl-C, and when the reader of stdout has gone. */
  readonly signal: AbortSignal;
}

export interface Positional {
  readonly name: string;
  readonly help: string;
  readonly optional?: true;
}

type Groups = Readonly<Record<string, OptionGroup>>;

type GroupValues<G extends Groups> = { readonly [Name in keyof G]: Values<G[Name]['options']> };

/** What a command says of itself. */
interface CommandFace<G extends Groups> {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  readonly positionals: readonly Positional[];
  readonly groups: G;
  /** Paragraphs of the help. */
  readonly details: readonly string[];
  /** Command lines, and what they do. */
  readonly examples: readonly (readonly [line: string, what: string])[];
}

/** One command: what it says of itself, what it takes, and what it does. */
export interface Command extends CommandFace<Groups> {
  /** `args` are as many as there are positionals that are not optional, or more. */
  run(context: Context, args: readonly string[], values: ParsedArgs['values']): Promise<ExitCode>;
}

interface TypedCommand<G extends Groups> extends CommandFace<G> {
  run(context: Context, args: readonly string[], values: GroupValues<G>): Promise<ExitCode>;
}

/** Lets the types of a command's values follow from its groups, whose parsers make these values. */
export function defineCommand<G extends Groups>(command: TypedCommand<G>): Command {
  return command as unknown as Command;
}
