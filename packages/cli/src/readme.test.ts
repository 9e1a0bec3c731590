import { cpSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { readmeExamples } from '../../../.ci/readme';
import { commands } from './commands';
import { exitCodeTable, optionTables } from './testing/readme-tables';
import { temporaryFolder } from './testing/temporary';
import { tinyModel } from './testing/tiny-model';

const file = new URL('../README.md', import.meta.url);
const readme = readFileSync(file, 'utf8');

/** What stands between `<!-- name -->` and `<!-- /name -->`. */
function section(name: string): string {
  return readme.split(`<!-- ${name} -->\n\n`)[1]!.split(`\n\n<!-- /${name} -->`)[0]!;
}

test('the option tables are the options', async () => {
  expect(section('options')).toBe(await optionTables());
});

test('the exit codes are the exit codes', () => {
  expect(section('exit codes')).toBe(exitCodeTable());
});

test('every command is named', () => {
  for (const name of Object.keys(commands)) expect(readme).toContain(`| \`airllm ${name} `);
});

test('the README’s program runs', async () => {
  const cwd = temporaryFolder();
  cpSync(tinyModel(), path.join(cwd, 'model'), { recursive: true });
  const [program] = readmeExamples(file);
  const { stdout } = await program!.run({ cwd });
  expect(stdout).toMatch(/^architecture +llama/);
});
