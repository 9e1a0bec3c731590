import { writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../../../.ci/cpu-seconds';
import { temporaryFolder } from '../testing/temporary';
import { TokenizerError } from './errors';
import { createTokenizer, loadTokenizer } from './tokenizer';
import { byteFallbackTokenizer, byteLevelTokenizer } from './tokenizer/small.fixture';

const bytes = createTokenizer({ tokenizerJson: byteLevelTokenizer() });
const fallback = createTokenizer({
  tokenizerJson: byteFallbackTokenizer(),
  tokenizerConfig: { bos_token: '<s>', eos_token: { __type: 'AddedToken', content: '</s>' } },
});
const plain = { addSpecialTokens: false };

// Every length of UTF-8, white space, the mark for a space, the replacement character and the byte order mark.
const chars = ['a', 'b', 'ab', ' ', '\n', '1', 'é', '€', '😀', '▁', '\uFFFD', '\uFEFF'];
const anyText = fc.array(fc.constantFrom(...chars), { maxLength: 20 }).map((parts) => parts.join(''));

describe('encode', () => {
  it('merges by rank', () => {
    expect(bytes.encode('hello hello')).toEqual([259, 261]);
    expect(fallback.encode(' ab', plain)).toEqual([259, 264]);
  });

  it('falls back to bytes', () => {
    expect(fallback.encode('aé', plain).map((id) => fallback.idToToken(id))).toEqual(['▁a', '<0xC3>', '<0xA9>']);
  });

  it('finds added tokens in the text', () => {
    expect(bytes.encode('hello<|end|>hello<tool>')).toEqual([259, 262, 259, 263]);
  });

  it('puts special tokens around the text where told to', () => {
    expect(fallback.encode('a')).toEqual([1, 263]);
    expect(fallback.encode('a', plain)).toEqual([263]);
    expect(fallback.encode('')).toEqual([1]);
  });

  it('lets explicit add_bos_token and add_eos_token win', () => {
    const ends = { bos_token: '<s>', eos_token: '</s>' };
    const encode = (config: object) =>
      createTokenizer({ tokenizerJson: byteFallbackTokenizer(), tokenizerConfig: { ...ends, ...config } }).encode('a');
    expect(encode({ add_bos_token: false })).toEqual([263]);
    expect(encode({ add_bos_token: true, add_eos_token: true })).toEqual([1, 263, 2]);
    expect(encode({})).toEqual([1, 263]);
  });

  it('encodes long texts without a pre-tokeniser in reasonable time', async () => {
    const { result, seconds } = await cpuSeconds(() => fallback.encode('ab'.repeat(50_000), plain));
    expect(result).toHaveLength(50_000);
    expect(seconds).toBeLessThan(20);
  });
});

describe('decode', () => {
  it('of nothing is nothing', () => {
    expect(bytes.decode([])).toBe('');
  });

  it('drops unknown ids', () => {
    expect(bytes.decode([259, 999, -1, 1.5, 259])).toBe('hellohello');
  });

  it('leaves special tokens out where told to', () => {
    expect(bytes.decode([259, 262])).toBe('hello<|end|>');
    expect(bytes.decode([259, 262], { skipSpecialTokens: true })).toBe('hello');
  });

  it('writes U+FFFD for every byte of an invalid run of byte tokens, but once for a broken character of byte-level BPE', () => {
    const [e2, x82] = [3 + 0xe2, 3 + 0x82];
    expect(fallback.decode([e2, x82])).toBe('\uFFFD\uFFFD');
    expect(bytes.decode(bytes.encode('€').slice(0, 2))).toBe('\uFFFD');
  });

  it('keeps spaces before punctuation and a byte order mark', () => {
    for (const text of ['a , b .', '\uFEFFa']) expect(bytes.decode(bytes.encode(text))).toBe(text);
  });

  it('gives back what was encoded, for any text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(bytes.decode(bytes.encode(text, plain))).toBe(text);
        // This one cannot tell a space from its own mark.
        const marked = text.replaceAll('▁', ' ');
        expect(fallback.decode(fallback.encode(text, plain))).toBe(marked);
      }),
    );
  });
});

describe('special tokens', () => {
  it('are named by tokenizer_config.json too', () => {
    const json = { ...byteFallbackTokenizer(), added_tokens: [] };
    const config = { bos_token: '<s>', additional_special_tokens: ['ab'], eos_token: 'absent' };
    const tokenizer = createTokenizer({ tokenizerJson: json, tokenizerConfig: config });
    expect(tokenizer.isSpecial(1)).toBe(true);
    expect(tokenizer.encode('ab', plain)).toEqual([262]);
    expect(tokenizer.decode([262, 260], { skipSpecialTokens: true })).toBe('a');
    expect(tokenizer.bosId).toBe(1);
    expect(tokenizer.eosId).toBeUndefined();
  });

  it('come from special_tokens_map.json in old folders', () => {
    const map = { eos_token: '</s>' };
    expect(createTokenizer({ tokenizerJson: byteFallbackTokenizer(), specialTokensMap: map }).eosId).toBe(2);
    const config = { eos_token: '<s>', added_tokens_decoder: {} };
    const both = { tokenizerJson: byteFallbackTokenizer(), tokenizerConfig: config, specialTokensMap: map };
    expect(createTokenizer(both).eosId).toBe(1);
  });
});

describe('added tokens', () => {
  const withToken = (flags: object) => {
    const json = byteLevelTokenizer();
    json.added_tokens = [{ id: 300, content: '[X]', special: true, normalized: false, ...flags }];
    return (text: string) => {
      const tokenizer = createTokenizer({ tokenizerJson: json });
      return tokenizer.encode(text).map((id) => tokenizer.idToToken(id));
    };
  };

  it('take white space along where told to', () => {
    expect(withToken({})('a [X] b')).toEqual(['a', 'Ġ', '[X]', 'Ġ', 'b']);
    expect(withToken({ lstrip: true })('a [X] b')).toEqual(['a', '[X]', 'Ġ', 'b']);
    expect(withToken({ rstrip: true })('a [X] b')).toEqual(['a', 'Ġ', '[X]', 'b']);
  });

  it('stand alone where told to', () => {
    expect(withToken({ single_word: true })('[X] a[X]')).toEqual(['[X]', 'Ġ', 'a', '[', 'X', ']']);
  });

  it('are the longest of those that begin alike', () => {
    const json = byteLevelTokenizer();
    json.added_tokens = ['<a>', '<a><b>'].map((content, i) => ({ id: 300 + i, content, special: true }));
    expect(createTokenizer({ tokenizerJson: json }).encode('<a><b><a>')).toEqual([301, 300]);
  });
});

describe('pre-tokenisers', () => {
  // Every part of the text is a token, so the tokens are the words.
  const words = (config: object, text: string) => {
    const parts = new Set<string>();
    for (let i = 0; i < text.length; i++) for (let j = i + 1; j <= text.length; j++) parts.add(text.slice(i, j));
    const vocab = Object.fromEntries(['?', ...parts].map((part, id) => [part, id]));
    const model = { type: 'WordLevel', unk_token: '?', vocab };
    const tokenizer = createTokenizer({ tokenizerJson: { model, pre_tokenizer: config } });
    return tokenizer.encode(text).map((id) => tokenizer.idToToken(id));
  };

  it('split digits of any script', () => {
    expect(words({ type: 'Digits', individual_digits: true }, 'a1２b')).toEqual(['a', '1', '２', 'b']);
    expect(words({ type: 'Digits' }, 'a1２b')).toEqual(['a', '1２', 'b']);
  });

  it('split words as Rust means \\w', () => {
    expect(words({ type: 'Whitespace' }, 'ab½c_1 -!')).toEqual(['ab', '½', 'c_1', '-!']);
  });

  it.each([
    ['Isolated', ['a', '-', '-', 'b']],
    ['Removed', ['a', 'b']],
    ['MergedWithPrevious', ['a-', '-', 'b']],
    ['MergedWithNext', ['a', '-', '-b']],
    ['Contiguous', ['a', '--', 'b']],
  ])('split %s', (behavior, expected) => {
    expect(words({ type: 'Split', pattern: { String: '-' }, behavior, invert: false }, 'a--b')).toEqual(expected);
  });
});

describe('broken and unknown files', () => {
  const broken: [string, object][] = [
    ['no model', { model: undefined }],
    ['an unknown model', { model: { type: 'Oracle' } }],
    ['a merge of unknown tokens', { model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } }],
    ['a merge of three', { model: { type: 'BPE', vocab: { a: 0 }, merges: ['a a a'] } }],
    ['an id that would take gigabytes', { model: { type: 'BPE', vocab: { a: 2 ** 40 }, merges: [] } }],
    ['a negative id', { model: { type: 'BPE', vocab: { a: -1 }, merges: [] } }],
    ['an unknown decoder', { decoder: { type: 'Oracle' } }],
    ['an unknown pre-tokeniser', { pre_tokenizer: { type: 'Oracle' } }],
    ['an unknown normaliser', { normalizer: { type: 'Oracle' } }],
    ['an unknown post-processor', { post_processor: { type: 'Oracle' } }],
  ];
  it.each(broken)('%s', (_, part) => {
    expect(() => createTokenizer({ tokenizerJson: { ...byteLevelTokenizer(), ...part } })).toThrow(TokenizerError);
  });
});

describe('loadTokenizer', () => {
  it('is null without a tokenizer.json', async () => {
    const dir = temporaryFolder();
    expect(await loadTokenizer(dir)).toBeNull();
  });

  it('reads the files of a folder', async () => {
    const dir = temporaryFolder();
    writeFileSync(path.join(dir, 'tokenizer.json'), JSON.stringify(byteFallbackTokenizer()));
    writeFileSync(path.join(dir, 'tokenizer_config.json'), JSON.stringify({ bos_token: '<s>', add_bos_token: false }));
    const tokenizer = await loadTokenizer(dir);
    expect(tokenizer?.encode('ab')).toEqual([264]);
    expect(tokenizer?.vocabSize).toBe(265);
  });

  it('names the file that is broken', async () => {
    const dir = temporaryFolder();
    writeFileSync(path.join(dir, 'tokenizer.json'), '{"model"');
    await expect(loadTokenizer(dir)).rejects.toMatchObject({
      code: 'ERR_TOKENIZER',
      file: path.join(dir, 'tokenizer.json'),
    });
  });

  it('stops where it is aborted', async () => {
    const dir = temporaryFolder();
    const reason = new Error('enough');
    await expect(loadTokenizer(dir, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
