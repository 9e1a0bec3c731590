import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AutoModel, type GenerateRequest } from '@airllm/runtime';
import { describe, expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { haveShared, shared } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { templated, tinyModel } from '../testing/tiny-model';

/** What the library gives for the same request. */
async function expected(dir: string, request: GenerateRequest) {
  const model = await AutoModel.fromPretrained(dir);
  try {
    return await model.generate(request);
  } finally {
    await model.dispose();
  }
}

describe('without a chat template', () => {
  test('prints the continuation, and what it took on stderr', async () => {
    const dir = tinyModel();
    const { text } = await expected(dir, { prompt: 'Hello', maxNewTokens: 20 });
    const { code, stdout, stderr } = await airllm([
      'run',
      dir,
      'Hello',
      '--max-new-tokens',
      '20',
      '--weights-memory',
      '160KB',
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${text}\n` });
    expect(stderr).toMatch(/^llama \S+ · (native|reference) .*streamed per token \(160 kB for weights granted\)\n/);
    for (const fact of [
      'weights on disk',
      'memory granted',
      'peak used',
      'pinned',
      'streamed',
      'first token',
      'tokens/s',
      'GB/s',
    ]) {
      expect(stderr).toContain(fact);
    }
  });

  test('a pipe brings the prompt, without the line break at its end', async () => {
    const dir = tinyModel();
    const { text } = await expected(dir, { prompt: 'Two\nlines', maxNewTokens: 5 });
    const ran = await airllm(['run', dir, '--max-new-tokens', '5', '--quiet'], { stdin: 'Two\nlines\n' });
    expect(ran).toEqual({ code: 0, stdout: `${text}\n`, stderr: '' });
  });

  test('a byte order mark is no part of a prompt, and - means the pipe', async () => {
    const dir = tinyModel();
    const { text } = await expected(dir, { prompt: 'Two\r\nlines', maxNewTokens: 5 });
    const ran = await airllm(['run', dir, '-', '--max-new-tokens', '5', '-q'], { stdin: '\uFEFFTwo\r\nlines\r\n' });
    expect(ran).toEqual({ code: 0, stdout: `${text}\n`, stderr: '' });
  });

  test('an empty pipe is no prompt', async () => {
    const { code, stdout, stderr } = await airllm(['run', tinyModel(), '-q'], { stdin: '\n' });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: there is no prompt/);
  });

  test('--system is refused', async () => {
    const { code, stderr } = await airllm(['run', tinyModel(), 'x', '-q', '--system', 'y']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: --system needs a chat template/);
  });

  test('--prompt-cache is read once, and keys and values may lie on disk', async () => {
    const dir = tinyModel();
    const prompt = 'A long text that somebody has a question about.';
    const run = async (...options: string[]) => {
      const { code, stdout } = await airllm(['run', dir, prompt, '--json', '-q', '--max-new-tokens', '5', ...options]);
      expect(code).toBe(0);
      return JSON.parse(stdout);
    };
    const plain = await run();
    const cached = ['--prompt-cache', join(temporaryFolder(), 'text.cache')];
    const first = await run(...cached);
    const again = await run(...cached, '--kv-cache-place', 'disk', '--kv-cache-dir', temporaryFolder());
    expect([first.ids, again.ids]).toEqual([plain.ids, plain.ids]);
    expect([plain.usage.cachedTokens, first.usage.cachedTokens]).toEqual([undefined, 0]);
    expect(again.usage.cachedTokens).toBe(again.usage.promptTokens - 1);
    expect(again.plan.diskState).toMatchObject({ regions: 2 });
    const told = await airllm(['run', dir, prompt, '--max-new-tokens', '5', ...cached]);
    expect(told.stderr).toContain(`, ${again.usage.cachedTokens} of them from the prompt cache`);
  });

  test('--json prints one object and nothing else', async () => {
    const dir = tinyModel();
    const result = await expected(dir, { prompt: 'Hello', maxNewTokens: 8, seed: 7, temperature: 0.8, topK: 40 });
    const options = ['--max-new-tokens', '8', '--seed', '7', '--temperature', '0.8', '--top-k', '40'];
    const { code, stdout, stderr } = await airllm(['run', dir, 'Hello', '--json', '-q', ...options]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { stats: _, ...same } = result;
    expect(JSON.parse(stdout)).toMatchObject({
      ...same,
      stats: { seed: 7 },
      model: { modelType: 'llama', contextLength: 256 },
      plan: { floor: { weightsMemory: expect.any(Number) } },
      peakMemory: expect.any(Number),
    });
  });

  test('stop texts and end tokens are obeyed or ignored as asked', async () => {
    const dir = tinyModel();
    const { text } = await expected(dir, { prompt: 'Hello', maxNewTokens: 20, ignoreEos: true });
    const stop = [...text][7]!;
    const { stdout } = await airllm(['run', dir, 'Hello', '-q', '--ignore-eos', '--stop', '§§', '--stop', stop]);
    expect(stdout).toBe(`${text.slice(0, text.indexOf(stop))}\n`);
  });
});

describe('with a chat template', () => {
  test('prompt and system message go through it', async () => {
    const dir = tinyModel({ chat: true });
    const prompt = templated([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
    ]);
    const { text } = await expected(dir, { prompt, maxNewTokens: 12 });
    const ran = await airllm(['run', dir, 'Hello', '-q', '--system', 'Be brief.', '--max-new-tokens', '12']);
    expect(ran).toEqual({ code: 0, stdout: `${text}\n`, stderr: '' });
  });

  test('--raw turns it off', async () => {
    const dir = tinyModel({ chat: true });
    const { text } = await expected(dir, { prompt: 'Hello', maxNewTokens: 12 });
    const { stdout } = await airllm(['run', dir, 'Hello', '-q', '--raw', '--max-new-tokens', '12']);
    expect(stdout).toBe(`${text}\n`);
  });
});

test('too little memory ends with its own exit code and says what is needed', async () => {
  const dir = tinyModel();
  const { code, stdout, stderr } = await airllm(['run', dir, 'x', '-q', '--weights-memory', '1KB']);
  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  const floor = /try --weights-memory (\d+)\n$/.exec(stderr)?.[1];
  expect((await airllm(['run', dir, 'x', '-q', '--weights-memory', floor!, '--max-new-tokens', '2'])).code).toBe(0);
  expect((await airllm(['run', dir, 'x', '-q', '--weights-memory', `${Number(floor) - 1}`])).code).toBe(3);
});

describe.skipIf(!haveShared())('a trained model', () => {
  test.each(['stories260K', 'minimind2-small'])('%s says what transformers says', async (name) => {
    const dir = shared(`models/${name}`);
    const { cases } = JSON.parse(readFileSync(`${dir}/expected.json`, 'utf8'));
    for (const { prompt, messages, new_ids: ids, new_text: text } of cases) {
      const system = messages?.find(({ role }: { role: string }) => role === 'system')?.content;
      const question = messages?.at(-1).content ?? prompt;
      const argv = ['run', dir, question, '-q', '--json', '--temperature', '0', '--max-new-tokens', String(ids.length)];
      if (system !== undefined) argv.push('--system', system);
      const { code, stdout } = await airllm([...argv, '--weights-memory', '2MB']);
      expect(code).toBe(0);
      const said = JSON.parse(stdout);
      expect(said.ids).toEqual(ids);
      // The reference decoded the answer alone, where a leading space counts as the tokenizer's own.
      expect(said.text.replace(/^ /, '')).toBe(text);
    }
  });
});
