import { isOffered, type OptionGroup } from '../args/option';
import { globalArgs } from '../args/output';
import { knownOptions } from '../args/parse';
import { commands } from '../commands';
import { EXIT_MEANINGS } from '../exit-codes';
import { term } from '../help/command-help';

/** The option tables of the README, one for each group, from the definitions the parser uses. */
export async function optionTables(): Promise<string> {
  const users = new Map<OptionGroup, string[]>();
  for (const { load } of Object.values(commands)) {
    const { name, groups } = await load();
    for (const group of Object.values(groups)) {
      if (Object.values(group.options).some(isOffered)) users.set(group, [...(users.get(group) ?? []), `\`${name}\``]);
    }
  }
  users.set(globalArgs, ['all']);
  return [...users]
    .map(([group, names]) => {
      const rows = knownOptions({ group }).map((known) => `| \`${cell(term(known))}\` | ${cell(known.option.help)} |`);
      return [`**${group.title}** (${names.join(', ')})`, '', '| option | meaning |', '| --- | --- |', ...rows].join(
        '\n',
      );
    })
    .join('\n\n');
}

/** The README's table of exit codes. */
export function exitCodeTable(): string {
  const rows = EXIT_MEANINGS.map(([code, meaning]) => `| ${code} | ${cell(meaning)} |`);
  return ['| code | meaning |', '| --- | --- |', ...rows].join('\n');
}

/** In a table, a bar would begin the next cell and an angle bracket a tag. */
function cell(text: string): string {
  const escaped = text.replaceAll('|', '\\|');
  return text.startsWith('-') ? escaped : escaped.replaceAll('<', '&lt;');
}
