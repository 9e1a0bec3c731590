import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readmeExamples } from '../../../.ci/readme';
import { HubServer } from './testing/hub-server';
import { temporaryFolder } from './testing/temporary';

const readme = new URL('../README.md', import.meta.url);
const fixture = fileURLToPath(new URL('../../../apps/conformance/fixtures/llama', import.meta.url));

/** A tokenizer of single characters for the fixture, which has none. */
function tokenizerJson(vocabSize: number) {
  const characters = Array.from({ length: vocabSize - 1 }, (_, i) => String.fromCodePoint(32 + i));
  const vocab = Object.fromEntries(['<unk>', ...characters].map((token, id) => [token, id]));
  return { version: '1.0', added_tokens: [], model: { type: 'BPE', vocab, merges: [], unk_token: '<unk>' } };
}

async function withModel<T>(use: (cwd: string) => Promise<T>): Promise<T> {
  const cwd = await mkdtemp(join(tmpdir(), 'airllm-readme-'));
  try {
    await cp(fixture, join(cwd, 'model'), { recursive: true });
    await writeFile(join(cwd, 'model', 'tokenizer.json'), JSON.stringify(tokenizerJson(320)));
    return await use(cwd);
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

const [generating, batching, answering, caching] = readmeExamples(readme);

test('the README’s program runs', async () => {
  const { stdout } = await withModel((cwd) => generating!.run({ cwd }));
  expect(stdout).toMatch(/\n\d+ tokens, (length|eos)\n$/);
});

test('the README’s batch runs', async () => {
  const { stdout } = await withModel((cwd) => batching!.run({ cwd }));
  for (const prompt of ['In spring', 'In summer', 'In autumn']) {
    expect(stdout).toMatch(new RegExp(`^${prompt} (length|eos)$`, 'm'));
  }
  expect(stdout).toMatch(/chosen: 'planned'/);
});

test('the README’s file of requests is answered, once', async () => {
  const lines = [
    '{',
    JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/completions', body: { prompt: 'x' } }),
  ];
  const [first, second] = await withModel(async (cwd) => {
    await writeFile(join(cwd, 'in.jsonl'), lines.join('\n'));
    return [await answering!.run({ cwd }), await answering!.run({ cwd })];
  });
  expect(first.stdout).toMatch(/^null the line is not valid JSON: .*\na done\n$/);
  expect(second.stdout).toBe('');
});

test('the README’s document is read once', async () => {
  const { stdout } = await withModel((cwd) => caching!.run({ cwd }));
  expect(stdout).toMatch(/^0 of 1\d\d tokens were known\n128 of 1\d\d tokens were known\n$/);
});

test('the README’s download runs', async () => {
  await using server = await HubServer.start();
  const commit = (
    await server.addRepo('Qwen/Qwen3-0.6B', { 'config.json': '{}', 'model.safetensors': 'weights' })
  ).resolve('main');
  const cwd = temporaryFolder();
  const [program] = readmeExamples(readme).filter(({ code }) => code.includes('pullModel'));
  const env = { HF_ENDPOINT: server.url, HF_HOME: cwd, HF_HUB_OFFLINE: '0', HF_TOKEN: '', no_proxy: '*' };
  const { stdout, stderr } = await program!.run({ cwd, env: { ...env, HF_HUB_CACHE: '', HUGGINGFACE_HUB_CACHE: '' } });
  expect(stdout).toContain(`${commit} is in ${cwd}`);
  expect(stderr).toContain('9 of 9 bytes');
});
