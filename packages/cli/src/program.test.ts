import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import packageJson from '../package.json';
import { startProgram } from './testing/program';
import { temporaryFolder } from './testing/temporary';
import { tinyModel } from './testing/tiny-model';

// The built program as a process of its own: signals, pipes and exit codes as a shell sees them.

/** Options that keep a model busy for minutes. */
const ENDLESS = ['--context', '500000', '--max-new-tokens', '400000', '--ignore-eos'];
const endlessModel = () => tinyModel({ config: { max_position_embeddings: 1 << 20 } });

test('help and version come at once', async () => {
  const report = path.join(temporaryFolder(), 'seconds');
  // Processor time: other programs make the clock tell little.
  const tell = `import { writeFileSync } from 'node:fs';
    process.on('exit', () => {
      const { user, system } = process.cpuUsage();
      writeFileSync(${JSON.stringify(report)}, String((user + system) / 1e6));
    });`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(tell)}` };
  const help = await startProgram(['--help'], env).ended;
  expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('airllm <command>'), stderr: '' });
  // 0.1 on a machine at rest.
  expect(Number(readFileSync(report, 'utf8'))).toBeLessThan(5);
  expect(await startProgram(['--version']).ended).toMatchObject({ code: 0, stdout: `${packageJson.version}\n` });
});

test('stdout carries the text alone', async () => {
  const dir = tinyModel();
  const { child, ended } = startProgram(['run', dir, '--max-new-tokens', '5']);
  child.stdin!.end('Hello\n');
  const loud = await ended;
  expect(loud.code).toBe(0);
  expect(loud.stderr).toMatch(/^llama .*\n\nweights on disk/);
  expect(await startProgram(['run', dir, 'Hello', '--max-new-tokens', '5', '-q']).ended).toMatchObject({
    code: 0,
    stdout: loud.stdout,
    stderr: '',
  });
});

test.skipIf(process.platform === 'win32').each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s ends a generation with %i and without a word', async (signal, code) => {
  const { child, stdout, ended } = startProgram(['run', endlessModel(), 'Hello', '-q', ...ENDLESS]);
  while (stdout().length < 50) await once(child.stdout!, 'data');
  child.kill(signal);
  const result = await ended;
  expect(result).toMatchObject({ code, stderr: '' });
  expect(result.stdout).toMatch(/\n$/);
});

test.skipIf(process.platform === 'win32')('a reader that goes away ends it quietly', async () => {
  const { child, ended } = startProgram(['run', endlessModel(), 'Hello', '-q', ...ENDLESS]);
  await once(child.stdout!, 'data');
  child.stdout!.destroy();
  expect(await ended).toMatchObject({ code: 141, stderr: '' });
});

test('mistakes have their own exit codes', async () => {
  expect(await startProgram(['rnu']).ended).toMatchObject({ code: 2, stdout: '' });
  expect(await startProgram(['inspect', path.join(temporaryFolder(), 'none')]).ended).toMatchObject({ code: 1 });
  expect(await startProgram(['run', tinyModel(), 'x', '--memory', '1MB']).ended).toMatchObject({ code: 3, stdout: '' });
});

test('repositories are looked for where HF_HOME says', async () => {
  const home = temporaryFolder();
  const { code, stderr } = await startProgram(['inspect', 'org/name'], { HF_HOME: home, HF_HUB_CACHE: '' }).ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: "org\/name": /);
});
