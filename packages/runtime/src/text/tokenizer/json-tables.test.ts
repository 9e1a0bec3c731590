import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenizerError } from '../errors';
import { readTokenizerJson } from './json-tables';
import { readModel } from './model';
import { byteFallbackTokenizer, byteLevelTokenizer } from './small.fixture';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const escaped = (json: string) =>
  json.replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

function readBoth(json: string) {
  const { json: rest, ...tables } = readTokenizerJson(bytesOf(json), 'tokenizer.json');
  return { split: readModel(rest.model, 'file', tables), whole: readModel(JSON.parse(json).model, 'file') };
}

function encoded({ model }: ReturnType<typeof readModel>, word: string): number[] {
  const ids: number[] = [];
  model.encode(word, ids);
  return ids;
}

describe('readTokenizerJson', () => {
  it('leaves the tables out and parses the rest', () => {
    const json = { a: [1, { b: '}"' }], model: { type: 'BPE', vocab: { a: 3 }, y: null, merges: [], z: 2 }, c: 'd' };
    const parts = readTokenizerJson(bytesOf(JSON.stringify(json, null, 1)), 'file');
    expect(parts.json).toEqual({ ...json, model: { type: 'BPE', vocab: null, y: null, merges: null, z: 2 } });
    expect(parts.vocab?.id('a')).toBe(3);
    expect(parts.merges).toBeDefined();
  });

  it('leaves tables to JSON.parse that the bytes alone do not say all about', () => {
    const bpe = byteLevelTokenizer().model as { vocab: object; merges: unknown[] };
    const prefixed = { ...bpe, vocab: { a: 0, '##b': 1, ab: 2 }, merges: ['a ##b'], continuing_subword_prefix: '##' };
    const unusual = [
      // Merges before their tokens, a prefix after the merges, two models, a model that wants its vocabulary.
      JSON.stringify({ model: { merges: bpe.merges, type: 'BPE', vocab: bpe.vocab } }),
      JSON.stringify({ model: prefixed }),
      `{"model": ${JSON.stringify({ ...bpe, vocab: { a: 0 }, merges: [] })}, "model": ${JSON.stringify(prefixed)}}`,
      JSON.stringify({ model: { type: 'WordPiece', vocab: { '[UNK]': 0, a: 1, b: 2 }, unk_token: '[UNK]' } }),
    ];
    for (const json of unusual) {
      const { split, whole } = readBoth(json);
      for (const word of ['hello', 'ab', 'a', 'b']) expect(encoded(split, word)).toEqual(encoded(whole, word));
      expect(split.vocab.size).toBe(whole.vocab.size);
    }
  });

  it('merges alike whatever the order of the ids, and where a token is listed twice', () => {
    const merges = ['a b', 'ab c', 'a bc', 'b c', 'c c', 'ab cc'];
    const tokens = ['a', 'b', 'c', 'ab', 'bc', 'abc', 'cc', 'abcc'];
    const ids = fc.shuffledSubarray(tokens, { minLength: tokens.length });
    const word = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(ids, word, fc.option(fc.constantFrom(...tokens)), (order, text, twice) => {
        const pairs = order.map((token, id) => `${JSON.stringify(token)}: ${id}`);
        if (twice !== null) pairs.push(`${JSON.stringify(twice)}: ${order.length}`);
        const { split, whole } = readBoth(
          `{"model": {"type": "BPE", "vocab": {${pairs.join()}}, "merges": ${JSON.stringify(merges)}}}`,
        );
        expect(encoded(split, text)).toEqual(encoded(whole, text));
      }),
    );
  });

  it('leaves the list of a Unigram model alone', () => {
    const model = { type: 'Unigram', vocab: [['a', -1]] };
    expect(readTokenizerJson(bytesOf(JSON.stringify({ model })), 'file')).toEqual({ json: { model } });
  });

  it('gives the same vocabulary as JSON.parse, however the file is written', () => {
    const char = fc.constantFrom(
      'a',
      'b',
      ' ',
      '"',
      '\\',
      '/',
      '\n',
      '\u0000',
      'é',
      '▁',
      '€',
      '😀',
      '\u2028',
      '{',
      ']',
    );
    const token = fc.array(char, { maxLength: 5 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.uniqueArray(token, { maxLength: 30 }), fc.boolean(), fc.boolean(), (tokens, indent, ascii) => {
        const vocab = Object.fromEntries(tokens.map((text, id) => [text, 3 * id]));
        const json = JSON.stringify({ model: { type: 'BPE', vocab, merges: [] }, end: 1 }, null, indent ? 2 : 0);
        const { split, whole } = readBoth(ascii ? escaped(json) : json);
        expect(split.vocab.size).toBe(whole.vocab.size);
        tokens.forEach((text, id) => {
          expect(split.vocab.id(text)).toBe(3 * id);
          expect(split.vocab.token(3 * id)).toBe(text);
          expect(split.vocab.token(3 * id + 1)).toBeUndefined();
          expect(whole.vocab.id(text)).toBe(3 * id);
        });
      }),
    );
  });

  it.each([byteLevelTokenizer(), byteFallbackTokenizer()])('gives the same model as JSON.parse', (tokenizer) => {
    const { split, whole } = readBoth(JSON.stringify(tokenizer));
    for (const word of ['hello', 'Ġhello', 'hell', '▁ab', 'abab', '']) {
      expect(encoded(split, word)).toEqual(encoded(whole, word));
    }
  });

  it('answers a file that ends anywhere with a typed error', () => {
    const json = JSON.stringify(byteFallbackTokenizer(), null, 1);
    for (let end = 0; end < json.length; end += 7) {
      expect(() => readTokenizerJson(bytesOf(json.slice(0, end)), 'file')).toThrow(TokenizerError);
    }
  });

  it('answers tables of another shape with a typed error', () => {
    const read = (model: object) => {
      const { json, ...tables } = readTokenizerJson(bytesOf(JSON.stringify({ model })), 'file');
      return readModel(json.model, 'file', tables);
    };
    for (const vocab of [{ a: 'b' }, { a: 1.5 }, { a: null }, { a: -1 }, { a: 1e12 }]) {
      expect(() => read({ type: 'BPE', vocab, merges: [] })).toThrow(TokenizerError);
    }
    for (const merges of [[1], [['a']], [['a', 'b', 'c']], ['ab'], ['a b c'], [['a', 'zz']]]) {
      expect(() => read({ type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges })).toThrow(TokenizerError);
    }
  });
});
