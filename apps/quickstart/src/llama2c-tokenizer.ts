/** A tokenizer in Hugging Face format: the contents of tokenizer.json and tokenizer_config.json. */
export interface HuggingFaceTokenizer {
  readonly tokenizerJson: Record<string, unknown>;
  readonly tokenizerConfig: Record<string, unknown>;
}

interface Piece {
  readonly text: string;
  readonly score: number;
}

// sentencepiece's mark for a space; llama2.c writes the space itself.
const SPACE = '▁';
// Some exports write these three with line breaks around them, as run.c prints them.
const SPECIAL = ['<unk>', '<s>', '</s>'];
// Then a token for every byte; old exports hold the byte itself, new ones this name.
const FIXED = [
  ...SPECIAL,
  ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
];

/**
 * Converts llama2.c's tokenizer.bin (Llama 2's sentencepiece model, https://github.com/karpathy/llama2.c,
 * `tokenizer.py`): an int32 with the longest piece, then for every token a float32 score, an int32 length and that many
 * bytes of UTF-8. Its scores say in which order pieces merge; tokenizer.json wants the merges themselves.
 *
 * @throws RangeError where the bytes end early or hold another number of tokens.
 */
export function llama2cTokenizer(bytes: Uint8Array, vocabSize: number): HuggingFaceTokenizer {
  const pieces = readPieces(bytes, vocabSize);
  const vocab = Object.fromEntries(pieces.map(({ text }, id) => [text, id]));
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: SPECIAL.map((content, id) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: SPACE },
          { type: 'Replace', pattern: { String: ' ' }, content: SPACE },
        ],
      },
      pre_tokenizer: null,
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
        pair: [
          { SpecialToken: { id: '<s>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { SpecialToken: { id: '<s>', type_id: 1 } },
          { Sequence: { id: 'B', type_id: 1 } },
        ],
        special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
      },
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: '<unk>',
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: true,
        byte_fallback: true,
        vocab,
        merges: mergesByScore(pieces),
      },
    },
    tokenizerConfig: {
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      pad_token: null,
      add_bos_token: true,
      add_eos_token: false,
      clean_up_tokenization_spaces: false,
      legacy: false,
      model_max_length: 2048,
      tokenizer_class: 'LlamaTokenizer',
    },
  };
}

function readPieces(bytes: Uint8Array, vocabSize: number): Piece[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const pieces: Piece[] = [];
  let at = 4;
  while (at < bytes.byteLength) {
    const score = view.getFloat32(at, true);
    const length = view.getInt32(at + 4, true);
    if (length < 0 || at + 8 + length > bytes.byteLength) {
      throw new RangeError(
        `tokenizer.bin: token ${pieces.length} at byte ${at} claims ${length} bytes, beyond the end`,
      );
    }
    const stored = bytes.subarray(at + 8, at + 8 + length);
    pieces.push({ text: FIXED[pieces.length] ?? decoder.decode(stored).replaceAll(' ', SPACE), score });
    at += 8 + length;
  }
  if (pieces.length !== vocabSize) {
    throw new RangeError(`tokenizer.bin: expected ${vocabSize} tokens, found ${pieces.length}`);
  }
  return pieces;
}

/**
 * Every way to make a piece from two others, the highest score first: what sentencepiece merges first, a ranked BPE
 * then merges first too. The ways to one piece are in the order of their halves' ids, as transformers' converter
 * has them.
 */
function mergesByScore(pieces: readonly Piece[]): [string, string][] {
  const ids = new Map(pieces.map(({ text }, id) => [text, id]));
  const byScore = [...pieces].sort((a, b) => b.score - a.score);
  return byScore.flatMap(({ text }) => {
    const chars = [...text];
    const ways: { left: number; right: number; merge: [string, string] }[] = [];
    for (let i = 1; i < chars.length; i++) {
      const merge: [string, string] = [chars.slice(0, i).join(''), chars.slice(i).join('')];
      const [left, right] = [ids.get(merge[0]), ids.get(merge[1])];
      if (left !== undefined && right !== undefined) ways.push({ left, right, merge });
    }
    return ways.sort((a, b) => a.left - b.left || a.right - b.right).map(({ merge }) => merge);
  });
}
