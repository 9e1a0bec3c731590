/** Files of a small valid tokenizer: byte-level BPE without merges, filled up to the vocabulary's size. */
export function tokenizerFiles(vocabulary: number): Readonly<Record<string, unknown>> {
  const specials = ['<unk>', '<s>', '</s>'];
  const words = [...specials, ...byteAlphabet()];
  while (words.length < vocabulary) words.push(`w${words.length}`);
  return {
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: specials.map((content, id) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: '<unk>',
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(words.map((word, id) => [word, id])),
        merges: [],
      },
    },
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      clean_up_tokenization_spaces: false,
    },
    'generation_config.json': { bos_token_id: 1, eos_token_id: 2 },
  };
}

/** GPT-2's printable stand-ins for the 256 bytes, in the order of their code points. */
function byteAlphabet(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  const points: number[] = [];
  for (let byte = 0; byte < 256; byte++) points.push(isPrintable(byte) ? byte : next++);
  return points.sort((a, b) => a - b).map((point) => String.fromCodePoint(point));
}
