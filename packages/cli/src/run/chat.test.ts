import { AutoModel, type LanguageModel } from '@airllm/runtime';
import { afterEach, expect, test } from 'vitest';
import { runCommandLine } from '../main';
import { FakeIo } from '../testing/fake-io';
import { tinyModel } from '../testing/tiny-model';

const PROMPT = /> [^\n]*$/;
let model: LanguageModel | undefined;
afterEach(() => model?.dispose());

/** Types a message once the chat asks for one, and gives what it answers. */
async function say(io: FakeIo, message: string): Promise<string> {
  const before = io.stdout.text.length;
  const seen = io.stderr.text.length;
  io.type(`${message}\n`);
  await io.stderr.until(/tokens\/s\]/, seen);
  return io.stdout.text.slice(before).replace(/\n$/, '');
}

test('every answer knows what was said before', async () => {
  const dir = tinyModel({ chat: true });
  model = await AutoModel.fromPretrained(dir);
  const io = new FakeIo({ terminal: true, env: { NO_COLOR: '1' } });
  const ended = runCommandLine(['run', dir, '--max-new-tokens', '10', '--system', 'Be brief.'], io);
  await io.stderr.until(PROMPT);
  const messages: { role: string; content: string }[] = [{ role: 'system', content: 'Be brief.' }];
  for (const content of ['Hello', 'And again']) {
    messages.push({ role: 'user', content });
    const { text } = await model.generate({ messages, maxNewTokens: 10 });
    expect(await say(io, content)).toBe(text);
    messages.push({ role: 'assistant', content: text });
  }
  io.type('/clear\n');
  const { text } = await model.generate({ messages: messages.slice(0, 2), maxNewTokens: 10 });
  expect(await say(io, 'Hello')).toBe(text);

  io.type('/exit\n');
  expect(await ended).toBe(0);
  expect(io.stderr.text).toMatch(/peak used .*\n/);
});

test('Ctrl-C ends the answer, then the chat', async () => {
  const dir = tinyModel({ chat: true, config: { max_position_embeddings: 1 << 20 } });
  const io = new FakeIo({ terminal: true });
  const ended = runCommandLine(
    ['run', dir, '--context', '100000', '--max-new-tokens', '90000', '--ignore-eos', '-q'],
    io,
  );
  await io.stderr.until(/> /);
  io.type('Hello\n');
  await io.stdout.until(/.{20}/s);
  const seen = io.stderr.text.length;
  io.raise('SIGINT');
  await io.stderr.until(/> /, seen);
  expect(io.stdout.text).toMatch(/\n$/);
  io.raise('SIGINT');
  expect(await ended).toBe(130);
  expect(io.exits).toEqual([]);
});

test('a conversation that outgrows the context is told so, and goes on', async () => {
  const dir = tinyModel({ chat: true });
  const io = new FakeIo({ terminal: true, env: { NO_COLOR: '1' } });
  const ended = runCommandLine(['run', dir, '--max-new-tokens', '10', '--context', '64'], io);
  await io.stderr.until(PROMPT);
  io.type(`${'long '.repeat(20)}\n`);
  await io.stderr.until(/error: .* do not fit a context of 64.*\n\/clear/);
  expect(await say(io, 'Hi')).not.toBe('');
  io.endOfInput();
  expect(await ended).toBe(0);
});

test('without a template each line stands alone', async () => {
  const dir = tinyModel();
  model = await AutoModel.fromPretrained(dir);
  const io = new FakeIo({ terminal: true, env: { NO_COLOR: '1' } });
  const ended = runCommandLine(['run', dir, '--max-new-tokens', '6'], io);
  await io.stderr.until(PROMPT);
  for (const prompt of ['One', 'Two']) {
    expect(await say(io, prompt)).toBe((await model.generate({ prompt, maxNewTokens: 6 })).text);
  }
  io.type('/help\n');
  await io.stderr.until(/\/clear {2}/);
  const said = io.stdout.text.length;
  io.type('/hlep\n');
  await io.stderr.until(/\/hlep is no command; \/help lists them\n/);
  expect(io.stdout.text.length).toBe(said);
  io.type('/exit \n');
  expect(await ended).toBe(0);
});
