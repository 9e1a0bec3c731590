import path from 'node:path';
import { FormatError, UnsupportedCheckpointError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../../testing/temporary';
import { bool, floats, ints, str, strings, type TestGguf, uint, writeGguf } from '../../../testing/write-gguf';
import { openGguf } from '../open-gguf';
import { tokenizerFiles } from './tokenizer-files';

async function filesOf(tokenizer: NonNullable<TestGguf['metadata']>) {
  const prefixed = Object.entries(tokenizer).map(([key, value]) => [`tokenizer.${key}`, value]);
  const metadata = { 'general.architecture': str('llama'), ...Object.fromEntries(prefixed) };
  const { metadata: read } = await openGguf(writeGguf(path.join(temporaryFolder(), 'm.gguf'), { metadata }));
  const files = await tokenizerFiles(read);
  return Object.fromEntries([...files].map(([name, text]) => [name, JSON.parse(text)]));
}

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Sentencepiece: unknown, two controls, a byte, and pieces whose scores say what is merged first. */
const sentencePiece = {
  'ggml.model': str('llama'),
  'ggml.tokens': strings([
    '<unk>',
    '<s>',
    '</s>',
    '<0x0A>',
    'ab',
    'abc',
    'bc',
    '▁a',
    'a',
    'b',
    'c',
    '▁',
    '<x>',
    '😀',
    'a😀',
  ]),
  'ggml.token_type': ints([2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1]),
  'ggml.scores': floats([0, 0, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11]),
  'ggml.bos_token_id': uint(1),
  'ggml.eos_token_id': uint(2),
  'ggml.unknown_token_id': uint(0),
};

/** GPT-2: characters, two merges and one of a token that is not there. */
const bytePairs = {
  'ggml.model': str('gpt2'),
  'ggml.pre': str('llama-bpe'),
  'ggml.tokens': strings(['a', 'b', 'c', 'ab', 'abc', '<|begin|>', '<|eot_id|>', '']),
  'ggml.token_type': ints([1, 1, 1, 1, 1, 3, 3, 1]),
  'ggml.merges': strings(['a b', 'b c', 'ab c']),
  'ggml.bos_token_id': uint(5),
};

describe('sentencepiece', () => {
  test('merges follow from scores: the best token first, then the ids of its parts', async () => {
    const { 'tokenizer.json': json } = await filesOf(sentencePiece);
    expect(json.model).toMatchObject({ type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true });
    expect(json.model.merges).toEqual(['a b', 'ab c', 'a bc', 'b c', '▁ a', 'a 😀']);
    expect(json.model.vocab).toMatchObject({ '<unk>': 0, '<0x0A>': 3, 'a😀': 14 });
    expect(
      json.added_tokens.map((token: { content: string; special: boolean }) => [token.content, token.special]),
    ).toEqual([
      ['<unk>', true],
      ['<s>', true],
      ['</s>', true],
      ['<x>', false],
    ]);
  });

  test('a space goes first and is taken off again, unless the file says otherwise', async () => {
    const { 'tokenizer.json': json } = await filesOf(sentencePiece);
    expect(json.normalizer.normalizers[0]).toEqual({ type: 'Prepend', prepend: '▁' });
    expect(json.decoder.decoders.at(-1)).toEqual({ type: 'Strip', content: ' ', start: 1, stop: 0 });
    const { 'tokenizer.json': bare } = await filesOf({ ...sentencePiece, 'ggml.add_space_prefix': bool(false) });
    expect(bare.normalizer).toEqual({ type: 'Replace', pattern: { String: ' ' }, content: '▁' });
    expect(bare.decoder.decoders.at(-1)).toEqual({ type: 'Fuse' });
  });

  test('the beginning is marked, unless the file says otherwise', async () => {
    const files = await filesOf({ ...sentencePiece, chat_template: str('{{ x }}') });
    expect(files['tokenizer_config.json']).toMatchObject({
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      add_bos_token: true,
      add_eos_token: false,
      chat_template: '{{ x }}',
    });
    expect(files['tokenizer.json'].post_processor.single).toEqual([
      { SpecialToken: { id: '<s>', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
    ]);
    const plain = await filesOf({ ...sentencePiece, 'ggml.add_bos_token': bool(false) });
    expect(plain['tokenizer_config.json'].add_bos_token).toBe(false);
    expect(plain['tokenizer.json'].post_processor).toBeNull();
  });
});

describe('byte pairs', () => {
  test('take their pattern and habits from the name of their pre-tokenizer', async () => {
    const { 'tokenizer.json': json, 'tokenizer_config.json': config } = await filesOf(bytePairs);
    expect(json.pre_tokenizer.pretokenizers.map((step: { type: string }) => step.type)).toEqual(['Split', 'ByteLevel']);
    expect(json.model.ignore_merges).toBe(true);
    expect(config.add_bos_token).toBe(true);
    const { 'tokenizer.json': digits } = await filesOf({ ...bytePairs, 'ggml.pre': str('smollm') });
    expect(digits.pre_tokenizer.pretokenizers.map((step: { type: string }) => step.type)).toEqual([
      'Digits',
      'ByteLevel',
    ]);
    expect(digits.pre_tokenizer.pretokenizers[1].use_regex).toBe(true);
  });

  test('merges that no token comes of are left out; an empty token gets a name', async () => {
    const { 'tokenizer.json': json } = await filesOf(bytePairs);
    expect(json.model.merges).toEqual(['a b', 'ab c']);
    expect(json.model.vocab['[EMPTY_7]']).toBe(7);
  });

  test('ends of a turn are known by name where the file does not tell them', async () => {
    expect((await filesOf(bytePairs))['generation_config.json']).toEqual({ eos_token_id: [6] });
    const both = await filesOf({ ...bytePairs, 'ggml.eos_token_id': uint(2) });
    expect(both['generation_config.json']).toEqual({ eos_token_id: [2, 6] });
  });

  test('several chat templates go by their names', async () => {
    const files = await filesOf({
      ...bytePairs,
      chat_template: str('plain'),
      chat_templates: strings(['tool_use']),
      'chat_template.tool_use': str('tools'),
    });
    expect(files['tokenizer_config.json'].chat_template).toEqual([
      { name: 'default', template: 'plain' },
      { name: 'tool_use', template: 'tools' },
    ]);
  });
});

describe('what is no tokenizer', () => {
  test('a file without one has none', async () => {
    expect(await filesOf({})).toEqual({});
    expect(await filesOf({ 'ggml.model': str('none') })).toEqual({});
  });

  test.each([
    ['an unknown kind', { ...bytePairs, 'ggml.model': str('rwkv') }, /rwkv/],
    ['an unknown pre-tokenizer', { ...bytePairs, 'ggml.pre': str('wordish') }, /wordish.*llama-bpe/],
  ])('refuses %s by name', async (_, tokenizer, message) => {
    const error = await errorOf(filesOf(tokenizer));
    expect(UnsupportedCheckpointError.isInstance(error)).toBe(true);
    expect((error as Error).message).toMatch(message);
  });

  test.each([
    ['a token that stands there twice', { 'ggml.tokens': strings(['a', 'b', 'a']) }, /"a" as tokens 0 and 2/],
    ['types for fewer tokens', { 'ggml.token_type': ints([1]) }, /token_type.*1 items for 8/],
    ['a merge without a space', { 'ggml.merges': strings(['ab']) }, /item 0/],
    ['numbers for tokens', { 'ggml.tokens': ints([1, 2]) }, /strings/],
    ['no merges', { 'ggml.merges': undefined as never }, /merges" is missing/],
  ])('refuses %s', async (_, change, message) => {
    const kept = Object.entries({ ...bytePairs, ...change }).filter(([, value]) => value !== undefined);
    const error = await errorOf(filesOf(Object.fromEntries(kept)));
    expect(FormatError.isInstance(error)).toBe(true);
    expect((error as Error).message).toMatch(message);
  });
});
