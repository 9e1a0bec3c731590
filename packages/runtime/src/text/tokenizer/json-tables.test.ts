import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenizerError } from '../errors';
import { splitTokenizerJson } from './json-tables';
import { readModel } from './model';
import { byteFallbackTokenizer, byteLevelTokenizer } from './small.fixture';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const escaped = (json: string) =>
  json.replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

function readBoth(json: string) {
  const { json: rest, ...tables } = splitTokenizerJson(bytesOf(json), 'tokenizer.json');
  return { split: readModel(rest.model, 'file', tables), whole: readModel(JSON.parse(json).model, 'file') };
}

describe('splitTokenizerJson', () => {
  it('leaves the tables as bytes and parses the rest', () => {
    const json = { a: [1, { b: '}"' }], model: { x: 1, vocab: { a: 0 }, y: null, merges: [], z: 2 }, c: 'd' };
    const parts = splitTokenizerJson(bytesOf(JSON.stringify(json, null, 1)), 'file');
    expect(parts.json).toEqual({ ...json, model: { x: 1, vocab: null, y: null, merges: null, z: 2 } });
    const text = ({ bytes, start, end }: NonNullable<typeof parts.vocab>) =>
      new TextDecoder().decode(bytes.subarray(start, end)).trim();
    expect(JSON.parse(text(parts.vocab!))).toEqual({ a: 0 });
    expect(JSON.parse(text(parts.merges!))).toEqual([]);
  });

  it('leaves the list of a Unigram model alone', () => {
    const model = { type: 'Unigram', vocab: [['a', -1]] };
    expect(splitTokenizerJson(bytesOf(JSON.stringify({ model })), 'file')).toEqual({ json: { model } });
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
    const encode = ({ model }: typeof split, word: string) => {
      const ids: number[] = [];
      model.encode(word, ids);
      return ids;
    };
    for (const word of ['hello', 'Ġhello', 'hell', '▁ab', 'abab', '']) {
      expect(encode(split, word)).toEqual(encode(whole, word));
    }
  });

  it('answers a file that ends anywhere with a typed error', () => {
    const json = JSON.stringify(byteFallbackTokenizer(), null, 1);
    for (let end = 0; end < json.length; end += 7) {
      expect(() => splitTokenizerJson(bytesOf(json.slice(0, end)), 'file')).toThrow(TokenizerError);
    }
  });

  it('answers tables of another shape with a typed error', () => {
    const read = (model: object) => {
      const { json, ...tables } = splitTokenizerJson(bytesOf(JSON.stringify({ model })), 'file');
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
