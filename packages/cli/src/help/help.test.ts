import { describe, expect, test } from 'vitest';
import { isOffered } from '../args/option';
import { commands } from '../commands';
import { EXIT_MEANINGS } from '../exit-codes';
import { airllm } from '../testing/fake-io';
import { definitions } from './wrap';

test('the overview names every command and exit code', async () => {
  const { code, stdout, stderr } = await airllm(['--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  for (const [name, { summary }] of Object.entries(commands)) {
    expect(stdout).toMatch(new RegExp(`\\n  ${name} +${summary.slice(0, 40)}`));
  }
  for (const [exit] of EXIT_MEANINGS) expect(stdout).toMatch(new RegExp(`^  ${exit} `, 'm'));
  expect((await airllm(['help'])).stdout).toBe(stdout);
  expect((await airllm(['-h'])).stdout).toBe(stdout);
});

test('nothing at all is a mistake that shows the overview', async () => {
  const { code, stdout, stderr } = await airllm([]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toBe((await airllm(['--help'])).stdout);
});

describe.each(Object.keys(commands))('airllm %s --help', (name) => {
  test('says everything the command takes', async () => {
    const { code, stdout, stderr } = await airllm([name, '--nonsense', '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const command = await commands[name]!.load();
    expect(command.name).toBe(name);
    for (const positional of command.positionals) expect(stdout).toContain(positional.help.slice(0, 30));
    for (const { title, options } of Object.values(command.groups)) {
      if (Object.values(options).some(isOffered)) expect(stdout).toContain(`\n${title}\n`);
    }
    for (const [line] of command.examples) expect(stdout).toContain(`  ${line}\n`);
    expect(stdout).toContain('Exit codes');
    expect((await airllm(['help', name])).stdout).toBe(stdout);
  });

  test('fits a terminal, and has colour only there', async () => {
    const { stdout } = await airllm([name, '-h'], { terminal: true });
    expect(stdout).toContain('\u001b[1m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what is looked for
    const plain = stdout.replaceAll(/\u001b\[\d+m/g, '');
    expect((await airllm([name, '-h'], { terminal: true, env: { NO_COLOR: '1' } })).stdout).toBe(plain);
    const prose = plain.split('\n').filter((line) => !line.startsWith('  airllm ') && !line.includes('| airllm '));
    expect(prose.filter((line) => line.length > 80)).toEqual([]);
  });
});

test('long terms stand above their explanation', () => {
  const rows = [['--a', 'short'] as const, ['--a-very-long-option <value>', 'one two three four five'] as const];
  expect(definitions(rows, 40, 10)).toBe(
    '  --a         short\n  --a-very-long-option <value>\n              one two three four five\n',
  );
});
