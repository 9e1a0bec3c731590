import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../main';
import { airllm, FakeIo } from '../testing/fake-io';
import { startProgram } from '../testing/program';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

interface Answer {
  readonly custom_id: string | null;
  readonly response: {
    readonly body: { readonly choices: { readonly message: { readonly content: string } }[] };
  } | null;
  readonly error: { readonly code: string; readonly line: number } | null;
}

const request = (customId: string, content: string, body = {}) =>
  JSON.stringify({
    custom_id: customId,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { messages: [{ role: 'user', content }], max_tokens: 4, ...body },
  });

function answersIn(file: string): Answer[] {
  const text = readFileSync(file, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line));
}

const contents = (answers: readonly Answer[]) =>
  Object.fromEntries(
    answers.map(({ custom_id, response }) => [custom_id, response?.body.choices?.[0]?.message.content]),
  );

test('every line gets an answer, and running it again asks nothing', async () => {
  const dir = tinyModel({ chat: true });
  const folder = temporaryFolder();
  const [input, output] = [path.join(folder, 'in #.jsonl'), path.join(folder, 'out.jsonl')];
  writeFileSync(input, `${request('a', 'Grüße')}\n{"custom_id":\n${request('b', 'x', { n: 0 })}\n${request('c', 'y')}`);
  const first = await airllm(['batch', dir, input, output, '--max-rows', '8']);
  expect(first).toMatchObject({ code: 0, stdout: '' });
  expect(first.stderr).toMatch(/4 answered in .*, 2 of them with errors · \d+ tokens read, 8 generated/);
  const answers = answersIn(output);
  expect(answers.map(({ custom_id }) => custom_id).sort()).toEqual(['a', 'b', 'c', null]);
  expect(answers.map(({ error }) => error?.line).sort()).toEqual([2, 3, undefined, undefined]);
  const alone = await airllm(['run', dir, 'Grüße', '-q', '--max-new-tokens', '4']);
  expect(contents(answers).a).toBe(alone.stdout.slice(0, -1));

  appendFileSync(input, `\n${request('d', 'z')}`);
  const again = await airllm(['batch', dir, input, output, '--json', '-q']);
  expect(JSON.parse(again.stdout)).toMatchObject({ answered: 1, failed: 0, skipped: 4 });
  expect(answersIn(output)).toHaveLength(5);
  expect(existsSync(`${output}.lock`)).toBe(false);
});

test('pipes on both sides', async () => {
  const dir = tinyModel({ chat: true });
  const stdin = `${request('a', 'x')}\n${request('b', 'y')}\n`;
  const { code, stdout, stderr } = await airllm(['batch', dir, '-', '-', '-q'], { stdin });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const answers = stdout.trimEnd().split('\n');
  expect(answers.map((line) => JSON.parse(line).custom_id).sort()).toEqual(['a', 'b']);
});

test('options are for what a request leaves open', async () => {
  const dir = tinyModel({ chat: true });
  const stdin = `${request('own', 'x')}\n${request('open', 'x', { max_tokens: null })}\n`;
  const { stdout } = await airllm(['batch', dir, '-', '-', '-q', '--max-new-tokens', '7', '--ignore-eos'], { stdin });
  const tokens = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ custom_id, response }) => [custom_id, response.body.usage.completion_tokens]);
  expect(Object.fromEntries(tokens)).toEqual({ own: 4, open: 7 });
});

test('Ctrl-C ends it; what was answered stays, and nothing is in the way of going on', async () => {
  const dir = tinyModel({ chat: true });
  const folder = temporaryFolder();
  const [input, output] = [path.join(folder, 'in.jsonl'), path.join(folder, 'out.jsonl')];
  const body = { max_tokens: 200, ignore_eos: true };
  const lines = Array.from({ length: 400 }, (_, i) => request(`${i}`, 'x', i === 0 ? {} : body));
  writeFileSync(input, lines.join('\n'));
  const io = new FakeIo();
  const ended = runCommandLine(['batch', dir, input, output, '-q', '--max-active', '2'], io);
  await expect.poll(() => existsSync(output) && readFileSync(output).length).toBeGreaterThan(0);
  io.raise('SIGINT');
  expect(await ended).toBe(130);
  const kept = answersIn(output).length;
  expect(kept).toBeLessThan(lines.length);
  expect(existsSync(`${output}.lock`)).toBe(false);
});

describe('what cannot work is said before the model is opened', () => {
  const none = '/no/such/model';
  test.each([
    ['an input that is not there', 1, (dir: string) => [path.join(dir, 'none'), path.join(dir, 'out')]],
    ['a folder for an input', 2, (dir: string) => [dir, path.join(dir, 'out')]],
    ['an output over the input', 2, (dir: string) => [path.join(dir, 'in'), path.join(dir, '.', 'in')]],
    ['an output that is something else', 1, (dir: string) => [path.join(dir, 'in'), path.join(dir, 'diary')]],
    ['an output in no folder', 1, (dir: string) => [path.join(dir, 'in'), path.join(dir, 'none', 'out')]],
  ])('%s', async (_, expected, files) => {
    const dir = temporaryFolder();
    writeFileSync(path.join(dir, 'in'), `${request('a', 'x')}\n`);
    writeFileSync(path.join(dir, 'diary'), 'Dear diary\n');
    const { code, stdout, stderr } = await airllm(['batch', none, ...files(dir)]);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).not.toContain(none);
    expect(readFileSync(path.join(dir, 'diary'), 'utf8')).toBe('Dear diary\n');
  });
});

// The built program, for only a process of its own can be killed.
test.skipIf(process.platform === 'win32')('killed again and again, no line is lost or answered twice', async () => {
  const dir = tinyModel({ chat: true });
  const folder = temporaryFolder();
  const [input, output, whole] = ['in.jsonl', 'out.jsonl', 'whole.jsonl'].map((name) => path.join(folder, name));
  const ids = Array.from({ length: 60 }, (_, i) => `Nr. ${i} “ü”`);
  const lines = ids.map((id, i) => request(id, `Frage ${i}`, { max_tokens: 6 + (i % 9), ignore_eos: true }));
  lines.splice(40, 0, '{"custom_id": "torn');
  writeFileSync(input!, `${lines.join('\n')}\n`);
  const argv = ['batch', dir, input!, output!, '-q', '--max-active', '3'];
  const size = () => (existsSync(output!) ? readFileSync(output!).length : 0);
  let kills = 0;
  for (let run = 0; kills < 3 || run < 5; run++) {
    const before = size();
    const { child, ended } = startProgram(argv);
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    // Somewhere in the middle of its work, at no particular place.
    while (!isOver && size() <= before + 900 * (run % 5))
      await new Promise((resolve) => setTimeout(resolve, 3 + 2 * (run % 5)));
    child.kill('SIGKILL');
    const { code } = await ended;
    if (code === null) kills++;
    // It was quicker than this process: once more from the start.
    else rmSync(output!);
    // As if the machine had gone down in the middle of a write.
    if (code === null && run % 2 === 1) appendFileSync(output!, '{"id":"batch_req_0123","custom_id":"Nr. 59');
  }
  expect(await startProgram(argv).ended).toMatchObject({ code: 0, stderr: '' });
  const answers = answersIn(output!);
  expect(answers.map(({ custom_id }) => custom_id).sort()).toEqual([...ids, null].sort());
  expect(answers.filter(({ error }) => error !== null)).toMatchObject([{ custom_id: null, error: { line: 41 } }]);
  await airllm(['batch', dir, input!, whole!, '-q']);
  expect(contents(answers)).toEqual(contents(answersIn(whole!)));
});
