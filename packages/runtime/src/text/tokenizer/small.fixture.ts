import { toByteChars } from './byte-level';

/** The tokens of every byte, then `more`, by id. */
function byteVocab(more: readonly string[]): Record<string, number> {
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  // toByteChars works on text; a Latin-1 detour would not survive UTF-8, so the table is rebuilt from its own rule.
  const chars = bytes.map((byte) => (byte < 0x80 ? toByteChars(String.fromCharCode(byte)) : highByteChar(byte)));
  return Object.fromEntries([...chars, ...more].map((token, id) => [token, id]));
}

/** Second character of a two-byte UTF-8 sequence gives 0x80 to 0xbf, the first 0xc2 to 0xdf; the rest are printable. */
function highByteChar(byte: number): string {
  if (byte <= 0xbf) return toByteChars(String.fromCharCode(byte))[1]!;
  return String.fromCharCode(byte);
}

/** A byte-level BPE as GPT-2's, with a few merges: ids 0–255 are bytes. */
export function byteLevelTokenizer(): Record<string, unknown> {
  return {
    added_tokens: [
      { id: 262, content: '<|end|>', special: true, normalized: false },
      { id: 263, content: '<tool>', special: false, normalized: true },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: { type: 'ByteLevel' },
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: byteVocab(['he', 'll', 'hell', 'hello', 'Ġhe', 'Ġhello']),
      merges: ['h e', 'l l', 'he ll', 'hell o', ['Ġ', 'he'], ['Ġ', 'hello']],
    },
  };
}

/** A sentencepiece-like BPE with byte fallback: ids 3–258 are bytes. */
export function byteFallbackTokenizer(): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const vocab = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', 'ab', '▁a', '▁ab'];
  return {
    added_tokens: [
      { id: 1, content: '<s>', special: true, normalized: false },
      { id: 2, content: '</s>', special: true, normalized: false },
    ],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
      merges: ['a b', '▁ a', '▁ ab'],
    },
  };
}
