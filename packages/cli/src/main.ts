import { globalArgs } from './args/output';
import { parseCommandLine } from './args/parse';
import type { Command, Context } from './command';
import { commands } from './commands';
import { UsageError } from './errors';
import { EXIT, type ExitCode } from './exit-codes';
import { commandHelp, usageLine } from './help/command-help';
import { overview } from './help/overview';
import { Interrupts } from './interrupts';
import { type CliIo, processIo } from './io';
import { nearest } from './nearest';
import { styleFor } from './output/style';
import { Terminal } from './output/terminal';
import { reportError } from './report-error';
import { version } from './version';

/**
 * Runs one command line in this process, `argv` without node and script, and resolves to its exit code; `airllm --help`
 * lists them. Never rejects: what goes wrong is said on stderr.
 */
export function main(argv: readonly string[]): Promise<ExitCode> {
  return runCommandLine(argv, processIo());
}

/** {@link main} with the outside world given. */
export async function runCommandLine(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  const controller = new AbortController();
  const terminal = new Terminal(io, controller);
  const interrupts = new Interrupts(io, controller);
  let command: Command | undefined;
  try {
    const [name, ...rest] = argv;
    let code: ExitCode;
    if (name === undefined || name.startsWith('-') || name === 'help') {
      code = await withoutCommand(argv, io, terminal);
    } else {
      command = await commandNamed(name);
      code = await runCommand(command, rest, { io, terminal, interrupts, signal: controller.signal });
    }
    // A full drive or a reader that has gone may show only now.
    await terminal.flush();
    controller.signal.throwIfAborted();
    return code;
  } catch (error) {
    // What was thrown may only be a consequence of the stop.
    const cause = controller.signal.aborted ? controller.signal.reason : error;
    return reportError(cause, { terminal, command, debug: argv.includes('--debug') });
  } finally {
    interrupts.dispose();
    await terminal.close();
  }
}

async function withoutCommand(argv: readonly string[], io: CliIo, terminal: Terminal): Promise<ExitCode> {
  const [first, topic] = argv;
  if (first === 'help' && topic !== undefined) {
    await terminal.print(helpOf(await commandNamed(topic), io));
    return EXIT.ok;
  }
  const { values } = parseCommandLine(first === 'help' ? ['--help'] : argv, { global: globalArgs });
  if (values.global!.version) {
    await terminal.print(`${version}\n`);
    return EXIT.ok;
  }
  if (values.global!.help) {
    await terminal.print(overview(styleFor(io.stdout, io.env), widthOf(io)));
    return EXIT.ok;
  }
  terminal.tell(overview(terminal.style, widthOf(io)));
  return EXIT.usage;
}

async function commandNamed(name: string): Promise<Command> {
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry === undefined) {
    throw new UsageError(`unknown command "${name}"`, nearest(name, Object.keys(commands)));
  }
  return entry.load();
}

async function runCommand(command: Command, argv: readonly string[], context: Context): Promise<ExitCode> {
  const { io, terminal } = context;
  // Whoever asks for help may not know the rest yet.
  if (beforeDashes(argv).some((arg) => arg === '--help' || arg === '-h')) {
    await terminal.print(helpOf(command, io));
    return EXIT.ok;
  }
  const { positionals, values } = parseCommandLine(argv, { ...command.groups, global: globalArgs });
  if (values.global!.version) {
    await terminal.print(`${version}\n`);
    return EXIT.ok;
  }
  checkPositionals(command, positionals);
  if (values.output?.quiet) terminal.beQuiet();
  return command.run(context, positionals, values);
}

/** Behind `--` everything is an argument. */
function beforeDashes(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--');
  return end < 0 ? argv : argv.slice(0, end);
}

function checkPositionals(command: Command, found: readonly string[]): void {
  const missing = command.positionals.find(({ optional }, i) => optional !== true && found[i] === undefined);
  if (missing !== undefined) throw new UsageError(`<${missing.name}> is missing: ${usageLine(command)}`);
  // A shell variable that is not set; taken for a path it would mean the present folder.
  const empty = command.positionals.find(({ optional }, i) => optional !== true && found[i]!.trim() === '');
  if (empty !== undefined) throw new UsageError(`<${empty.name}> is empty: ${usageLine(command)}`);
  const extra = found[command.positionals.length];
  if (extra === undefined) return;
  const hint = command.positionals.at(-1)?.name === 'prompt' ? '; put quotes around the prompt' : '';
  throw new UsageError(`unexpected argument "${extra}"${hint}: ${usageLine(command)}`);
}

function helpOf(command: Command, io: CliIo): string {
  return commandHelp(command, styleFor(io.stdout, io.env), widthOf(io));
}

function widthOf(io: CliIo): number {
  return Math.max(40, Math.min(io.stdout.columns ?? 100, 100));
}
