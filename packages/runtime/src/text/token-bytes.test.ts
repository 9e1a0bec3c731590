import { describe, expect, test } from 'vitest';
import { haveShared, shared } from '../testing/shared';
import { TokenBytes } from './token-bytes';
import { createTokenizer, loadTokenizer } from './tokenizer';

const bpe = (tokens: readonly string[], extra = {}) =>
  createTokenizer({
    tokenizerJson: {
      model: { type: 'BPE', merges: [], vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) },
      ...extra,
    },
  });

test('byte-level tokens are the bytes their characters stand for', () => {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
  const tokenizer = bpe(['Ċ', 'Ġthe', 'Ã', '©', '<|end|>'], { pre_tokenizer: byteLevel, decoder: byteLevel });
  const tokens = new TokenBytes(tokenizer);
  expect([0, 1, 2, 3, 4, 9].map((id) => tokens.text(id))).toEqual(['\n', ' the', '�', '�', '<|end|>', '']);
  expect([...tokens.bytes(2), ...tokens.bytes(3)]).toEqual([...Buffer.from('é')]);
});

test('others are text, with ▁ for a space and <0xAB> for a byte', () => {
  const tokenizer = bpe(['▁the', '<0xC3>', '<0x0A>', 'é', '<unk>'], {});
  const tokens = new TokenBytes(tokenizer);
  expect([0, 1, 2, 3, 4].map((id) => tokens.text(id))).toEqual([' the', '�', '\n', 'é', '<unk>']);
});

describe.skipIf(!haveShared())('real tokenizers', () => {
  test.each(['minimind2-small', 'stories260K'])('the bytes of a text’s tokens are the text: %s', async (name) => {
    const tokenizer = (await loadTokenizer(shared(`models/${name}`)))!;
    const tokens = new TokenBytes(tokenizer);
    const text = 'Once upon a time, 大きな 🐘 said:\n\t“é”.';
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    expect(
      Buffer.concat(ids.map((id) => tokens.bytes(id)))
        .toString()
        .trimStart(),
    ).toBe(text);
  });
});
