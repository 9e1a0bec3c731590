import { basename, dirname } from 'node:path';
import { UnsupportedCheckpointError } from '@airllm/loader';
import type { GgufMetadata } from '../metadata';
import { endTokenIds, specialId } from './end-tokens';
import { type Merge, mergesFromScores, storedMerges } from './merges';
import { PRE_TOKENIZERS, preTokenizer, preTokenizerJson } from './pre-tokenizers';
import { type GgufVocabulary, readVocabulary, TokenKind } from './vocabulary';

type Json = Record<string, unknown>;

/**
 * The tokenizer of a GGUF model as Hugging Face has it: name and text of tokenizer.json, tokenizer_config.json and a
 * generation_config.json with the tokens that end a text. Empty where the file has no tokenizer. Throws `FormatError`,
 * and `UnsupportedCheckpointError` for a kind of tokenizer that is not known here.
 */
export async function tokenizerFiles(metadata: GgufMetadata): Promise<Map<string, string>> {
  const model = metadata.string('tokenizer.ggml.model');
  if (model === undefined || model === 'none' || model === 'no_vocab') return new Map();
  const vocabulary = await readVocabulary(metadata);
  const kind = await tokenizerKind(model, metadata, vocabulary);
  const ends = endTokenIds(metadata, vocabulary);
  const files = new Map([
    ['tokenizer.json', tokenizerJson(kind, metadata, vocabulary)],
    ['tokenizer_config.json', JSON.stringify(await tokenizerConfig(kind, metadata, vocabulary), null, 2)],
  ]);
  if (ends.length > 0) files.set('generation_config.json', JSON.stringify({ eos_token_id: ends }, null, 2));
  return files;
}

/** What tells one kind of tokenizer from another. */
interface Kind {
  readonly model: Json;
  readonly merges: readonly Merge[];
  readonly normalizer: Json | null;
  readonly preTokenizer: Json | null;
  readonly decoder: Json;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Special tokens swallow the white space behind them. */
  readonly rstrip: boolean;
}

async function tokenizerKind(model: string, metadata: GgufMetadata, vocabulary: GgufVocabulary): Promise<Kind> {
  switch (model) {
    case 'llama':
      return sentencePiece(metadata, vocabulary);
    case 'gpt2':
      return bytePairs(metadata, vocabulary);
  }
  throw unsupported(metadata, `its tokenizer is of the kind "${model}"; supported are llama and gpt2`);
}

/** Byte-pair encoding on sentencepiece's vocabulary, as in the tokenizer.json of Llama 2, Mistral and Gemma. */
async function sentencePiece(metadata: GgufMetadata, vocabulary: GgufVocabulary): Promise<Kind> {
  const spaceFirst = metadata.bool('tokenizer.ggml.add_space_prefix') ?? true;
  const { tokens, ids, kind } = vocabulary;
  const unknown =
    specialId(metadata, vocabulary, 'unknown') ?? tokens.findIndex((_, id) => kind(id) === TokenKind.Unknown);
  const stored = metadata.has('tokenizer.ggml.merges');
  const replaceSpaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const steps = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    ...(spaceFirst ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
  ];
  return {
    model: {
      unk_token: tokens[unknown] ?? null,
      fuse_unk: true,
      byte_fallback: ids.has('<0x0A>'),
    },
    merges: stored ? await storedMerges(metadata, vocabulary) : mergesFromScores(vocabulary),
    normalizer: spaceFirst
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replaceSpaces] }
      : replaceSpaces,
    preTokenizer: null,
    decoder: { type: 'Sequence', decoders: steps },
    addBos: metadata.bool('tokenizer.ggml.add_bos_token') ?? true,
    addEos: metadata.bool('tokenizer.ggml.add_eos_token') ?? false,
    rstrip: metadata.string('general.architecture') === 'phi3',
  };
}

/** GPT-2's: on bytes shown as characters, after a pattern has cut the text into words. */
async function bytePairs(metadata: GgufMetadata, vocabulary: GgufVocabulary): Promise<Kind> {
  const name = metadata.string('tokenizer.ggml.pre');
  const pre = preTokenizer(name);
  if (pre === undefined) {
    throw unsupported(metadata, `its tokenizer cuts words by "${name}"; supported are ${PRE_TOKENIZERS.join(', ')}`);
  }
  return {
    model: { unk_token: null, fuse_unk: false, byte_fallback: false, ignore_merges: pre.ignoreMerges === true },
    merges: await storedMerges(metadata, vocabulary),
    normalizer: pre.nfc ? { type: 'NFC' } : null,
    preTokenizer: preTokenizerJson(pre, metadata.bool('tokenizer.ggml.add_space_prefix') ?? false),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    addBos: metadata.bool('tokenizer.ggml.add_bos_token') ?? pre.addBos === true,
    addEos: metadata.bool('tokenizer.ggml.add_eos_token') ?? false,
    rstrip: false,
  };
}

/** Written as text: objects of 262,144 tokens and 514,906 merges would take several times its memory. */
function tokenizerJson(kind: Kind, metadata: GgufMetadata, vocabulary: GgufVocabulary): string {
  const rest = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(kind, vocabulary),
    normalizer: kind.normalizer,
    pre_tokenizer: kind.preTokenizer,
    post_processor: postProcessor(kind, metadata, vocabulary),
    decoder: kind.decoder,
  };
  const model = {
    type: 'BPE',
    dropout: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    ...kind.model,
  };
  const vocab = vocabulary.tokens.map((token, id) => `${JSON.stringify(token)}:${id}`).join(',');
  const merges = kind.merges.map((merge) => JSON.stringify(merge)).join(',');
  const open = (json: Json) => JSON.stringify(json).slice(0, -1);
  return `${open(rest)},"model":${open(model)},"vocab":{${vocab}},"merges":[${merges}]}}`;
}

/** Tokens that are looked for in the text itself. */
function addedTokens(kind: Kind, { tokens, kind: kindOf }: GgufVocabulary): Json[] {
  const added: Json[] = [];
  for (const [id, content] of tokens.entries()) {
    const special = kindOf(id) === TokenKind.Control || kindOf(id) === TokenKind.Unknown;
    if (!special && kindOf(id) !== TokenKind.UserDefined) continue;
    const rstrip = kind.rstrip && !NOT_STRIPPING.has(content);
    added.push({ id, content, single_word: false, lstrip: false, rstrip, normalized: false, special });
  }
  return added;
}

/** Of Phi-3's special tokens, those that leave white space alone. */
const NOT_STRIPPING: ReadonlySet<string> = new Set(['<unk>', '<s>', '<|endoftext|>']);

/** Special tokens by the names that tokenizer_config.json has for them. */
const NAMES: readonly (readonly [config: string, ggml: string])[] = [
  ['bos_token', 'bos'],
  ['eos_token', 'eos'],
  ['unk_token', 'unknown'],
  ['pad_token', 'padding'],
];

function specialTokens(metadata: GgufMetadata, vocabulary: GgufVocabulary): Record<string, string> {
  const found = NAMES.flatMap(([config, ggml]) => {
    const id = specialId(metadata, vocabulary, ggml);
    return id === undefined ? [] : [[config, vocabulary.tokens[id]!] as const];
  });
  return Object.fromEntries(found);
}

async function tokenizerConfig(kind: Kind, metadata: GgufMetadata, vocabulary: GgufVocabulary): Promise<Json> {
  const special = specialTokens(metadata, vocabulary);
  const template = await chatTemplate(metadata);
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    clean_up_tokenization_spaces: false,
    ...special,
    ...(special.bos_token === undefined ? {} : { add_bos_token: kind.addBos }),
    ...(special.eos_token === undefined ? {} : { add_eos_token: kind.addEos }),
    ...(template === undefined ? {} : { chat_template: template }),
  };
}

/** One template, or several by name (`tokenizer.chat_template.tool_use`). */
async function chatTemplate(metadata: GgufMetadata): Promise<string | Json[] | undefined> {
  const main = metadata.string('tokenizer.chat_template');
  const names = (await metadata.strings('tokenizer.chat_templates')) ?? [];
  const named = names.flatMap((name) => {
    const template = metadata.string(`tokenizer.chat_template.${name}`);
    return template === undefined ? [] : [{ name, template }];
  });
  if (named.length === 0) return main;
  return main === undefined ? named : [{ name: 'default', template: main }, ...named];
}

/** The same ends once more, for readers that know only tokenizer.json. */
function postProcessor(kind: Kind, metadata: GgufMetadata, vocabulary: GgufVocabulary): Json | null {
  const bos = kind.addBos ? specialId(metadata, vocabulary, 'bos') : undefined;
  const eos = kind.addEos ? specialId(metadata, vocabulary, 'eos') : undefined;
  if (bos === undefined && eos === undefined) return null;
  const token = (id: number | undefined, type_id: number) =>
    id === undefined ? [] : [{ SpecialToken: { id: vocabulary.tokens[id]!, type_id } }];
  const text = (name: 'A' | 'B', type_id: number) => [
    ...token(bos, type_id),
    { Sequence: { id: name, type_id } },
    ...token(eos, type_id),
  ];
  const ids = [bos, eos].filter((id) => id !== undefined);
  const special = ids.map((id) => [
    vocabulary.tokens[id]!,
    { id: vocabulary.tokens[id]!, ids: [id], tokens: [vocabulary.tokens[id]!] },
  ]);
  return {
    type: 'TemplateProcessing',
    single: text('A', 0),
    pair: [...text('A', 0), ...text('B', 1)],
    special_tokens: Object.fromEntries(special),
  };
}

function unsupported(metadata: GgufMetadata, reason: string): UnsupportedCheckpointError {
  const found = basename(metadata.file);
  return new UnsupportedCheckpointError({ dir: dirname(metadata.file), found: [found], reason: `${found}: ${reason}` });
}
