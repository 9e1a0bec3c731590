import { globalArgs } from '../args/output';
import { type KnownOption, knownOptions } from '../args/parse';
import type { Command } from '../command';
import type { Style } from '../output/style';
import { exitCodes } from './exit-codes';
import { definitions, wrap } from './wrap';

/** Everything about one command. */
export function commandHelp(command: Command, style: Style, width: number): string {
  const heading = (text: string) => `\n${style.bold(text)}\n`;
  const parts = [
    `${wrap(command.summary, width).join('\n')}\n`,
    heading('Usage'),
    `  ${usageLine(command)}\n`,
    command.positionals.length === 0 ? '' : `\n${positionals(command, width)}`,
    ...command.details.map((text) => `\n${wrap(text, width).join('\n')}\n`),
    heading('Examples'),
    command.examples.map(([line, what]) => `  ${style.dim(`# ${what}`)}\n  ${line}\n`).join(''),
  ];
  for (const [name, group] of Object.entries({ ...command.groups, global: globalArgs })) {
    const rows = knownOptions({ [name]: group }).map((known) => [term(known), known.option.help] as const);
    if (rows.length > 0) parts.push(heading(group.title), definitions(rows, width));
  }
  parts.push(heading('Exit codes'), exitCodes(width));
  return parts.join('');
}

function positionals({ positionals: all }: Command, width: number): string {
  return definitions(
    all.map(({ name, help }) => [`<${name}>`, help]),
    width,
  );
}

/** `airllm run <model> [prompt] [options]` */
export function usageLine(command: Pick<Command, 'name' | 'positionals'>): string {
  const args = command.positionals.map(({ name, optional }) => (optional ? `[${name}]` : `<${name}>`));
  return ['airllm', command.name, ...args, '[options]'].join(' ');
}

/** `-q, --quiet`, `--memory <size>` */
export function term({ flag, option }: KnownOption): string {
  const short = option.short === undefined ? '' : `-${option.short}, `;
  const value = option.value === undefined ? '' : ` ${option.value}`;
  return `${short}${flag}${value}`;
}
