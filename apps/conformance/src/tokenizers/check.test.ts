import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkTokenizerPath } from './check';

const tokenizer = {
  added_tokens: [{ id: 3, content: '<s>', special: true, normalized: false }],
  decoder: { type: 'Fuse' },
  model: { type: 'WordLevel', unk_token: '?', vocab: { '?': 0, a: 1, b: 2, '<s>': 3 } },
  pre_tokenizer: { type: 'Split', pattern: { String: '' }, behavior: 'Isolated' },
};

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'airllm tokenizers #'));
  folders.push(folder);
  return folder;
}

/** A tree of `models` and `tokenizers` with one tiny tokenizer, and what is expected of it. */
function makeTree(change: (expected: Record<string, unknown>) => void = () => {}): string {
  const tree = temporaryFolder();
  const json = JSON.stringify(tokenizer);
  mkdirSync(path.join(tree, 'models/tiny'), { recursive: true });
  writeFileSync(path.join(tree, 'models/tiny/tokenizer.json'), json);
  const expected = {
    name: 'tiny',
    folder: 'tree/models/tiny',
    tokenizer: 'tokenizer.json',
    tokenizer_config: 'tokenizer_config.json',
    tokenizer_sha256: createHash('sha256').update(json).digest('hex'),
    prefix: [],
    suffix: [],
    encode: [{ text: 'a', ids: [1] }],
    decode: [{ ids: [1, 2, 9], text: 'ab' }],
    stream: [{ ids: [1, 2], pieces: ['a', 'b', ''] }],
    chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}{{ raise_exception('x') if refuse }}",
    special_tokens: {},
    now: '2026-03-05T09:07:03',
    chat: [
      { case: 'one', messages: [{ role: 'user', content: 'b' }], text: 'b', ids: [2] },
      { case: 'refused', messages: [], refuse: true, raises: 'x' },
    ],
  };
  change(expected);
  mkdirSync(path.join(tree, 'tokenizers/tiny'), { recursive: true });
  writeFileSync(path.join(tree, 'tokenizers/tiny/expected.json'), JSON.stringify(expected));
  const stops = { model: 'models/tiny', generation_config: null, config: [7], tokenizer_eos_id: 3, stop: [3, 7] };
  writeFileSync(path.join(tree, 'models/tiny/config.json'), '{"eos_token_id":7}');
  writeFileSync(path.join(tree, 'tokenizers/stop-tokens.json'), JSON.stringify({ rule: '', models: [stops] }));
  return path.join(tree, 'tokenizers');
}

const outcomes = async (target: string, packagesDir?: string) =>
  Object.fromEntries((await checkTokenizerPath(target, { packagesDir })).map(({ name, ...rest }) => [name, rest]));

describe('checkTokenizerPath', () => {
  it('passes what agrees, in every part', async () => {
    expect(await outcomes(makeTree())).toEqual({
      'stop-tokens': { passed: true, detail: '2 cases' },
      'tiny encode': { passed: true, detail: '5 cases' },
      'tiny decode': { passed: true, detail: '1 cases' },
      'tiny stream': { passed: true, detail: '1 cases' },
      'tiny chat': { passed: true, detail: '3 cases' },
    });
  });

  it.each([
    ['tiny encode', 'encode', [{ text: 'a', ids: [2] }]],
    ['tiny decode', 'decode', [{ ids: [1], text: 'b' }]],
    ['tiny stream', 'stream', [{ ids: [1], pieces: ['', 'a'] }]],
    ['tiny chat', 'chat', [{ case: 'one', messages: [], text: 'no' }]],
    ['tiny chat', 'chat', [{ case: 'not refused', messages: [], raises: 'x' }]],
  ])('fails %s where %s differs', async (name, key, value) => {
    const found = await outcomes(makeTree((expected) => Object.assign(expected, { [key]: value })));
    expect(Object.entries(found).filter(([, { passed }]) => !passed)).toEqual([[name, expect.anything()]]);
  });

  it('refuses another tokenizer than the one that was expected', async () => {
    const found = await outcomes(makeTree((expected) => Object.assign(expected, { tokenizer_sha256: '00' })));
    expect(found.tiny).toMatchObject({ passed: false, detail: expect.stringContaining('sha256') });
  });

  it('finds npm packages, and says which one is missing', async () => {
    const tree = makeTree((expected) => Object.assign(expected, { folder: undefined, package: '@some/tiny@1.0.0' }));
    const missing = await outcomes(tree);
    expect(missing.tiny).toMatchObject({ skipped: true, detail: expect.stringContaining('@some/tiny@1.0.0') });
    expect(missing['tiny chat']).toMatchObject({ passed: true });
    const packages = temporaryFolder();
    cpSync(path.join(tree, '../models/tiny'), path.join(packages, 'node_modules/@some/tiny'), { recursive: true });
    expect((await outcomes(tree, packages))['tiny encode']).toMatchObject({ passed: true });
  });
});

const shared = fileURLToPath(new URL('../../../../../shared/tokenizers', import.meta.url));
const hasShared = existsSync(shared);
if (!hasShared && process.env.AIRLLM_SHARED === 'required') throw new Error(`${shared} is missing`);

describe.skipIf(!hasShared)('the reference data', () => {
  let found: Awaited<ReturnType<typeof checkTokenizerPath>> = [];
  beforeAll(async () => {
    found = await checkTokenizerPath(shared);
  });

  it('agrees wherever a tokenizer is at hand', () => {
    expect(found.filter(({ passed, skipped }) => !passed && !skipped)).toEqual([]);
  });

  it('has been looked at as a whole', () => {
    const names = found.filter(({ passed }) => passed).map(({ name }) => name);
    for (const part of ['encode', 'decode', 'stream']) {
      for (const own of ['llama2', 'minimind2-small', 'stories260K']) expect(names).toContain(`${own} ${part}`);
    }
    expect(names.filter((name) => name.endsWith(' chat')).length).toBeGreaterThan(30);
    expect(names).toContain('stop-tokens');
  });
});
