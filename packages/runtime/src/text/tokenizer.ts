import path from 'node:path';
import { SequenceNormalizer } from '@huggingface/tokenizers';
import { TokenizerError } from './errors';
import { isJsonObject, type JsonObject, readFileBytes, readJsonFile } from './json-file';
import { namedSpecialTokens, specialContents } from './special-tokens';
import { type AddedToken, AddedTokenFinder } from './tokenizer/added-tokens';
import { type DecoderChain, readDecoder } from './tokenizer/decoder';
import { type ModelTables, readTokenizerJson } from './tokenizer/json-tables';
import { checkId, readModel } from './tokenizer/model';
import { readPostProcessor, type Surround, withExplicitEnds } from './tokenizer/post-processor';
import { type PreTokenizer, readPreTokenizer } from './tokenizer/pre-tokenizer';
import type { TokenModel } from './tokenizer/token-model';
import type { Vocabulary } from './tokenizer/vocabulary';

/** The parsed files of a tokenizer in Hugging Face format. */
export interface TokenizerFiles {
  tokenizerJson: JsonObject;
  tokenizerConfig?: JsonObject | undefined;
  specialTokensMap?: JsonObject | undefined;
}

export interface EncodeOptions {
  /** Puts the tokens around the text that the model expects, such as `<s>`. Default: true. */
  addSpecialTokens?: boolean | undefined;
}

export interface DecodeOptions {
  /** Leaves special tokens out. Default: false. */
  skipSpecialTokens?: boolean | undefined;
}

/** Text to token ids and back, as the reference library (tokenizers) does it, without clean_up_tokenization_spaces. */
export class Tokenizer {
  /** One more than the highest token id, added tokens included. The model's own vocabulary may be padded beyond. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** Token ids that encoding puts around a text. */
  readonly specialPrefix: readonly number[];
  readonly specialSuffix: readonly number[];

  /** @internal Made by {@link createTokenizer}. */
  constructor(private readonly parts: TokenizerParts) {
    this.vocabSize = parts.vocab.size;
    this.bosId = parts.bosId;
    this.eosId = parts.eosId;
    this.specialPrefix = parts.surround.prefix;
    this.specialSuffix = parts.surround.suffix;
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const withEnds = options.addSpecialTokens ?? true;
    const ids = withEnds ? [...this.specialPrefix] : [];
    const { literal, normalized, normalize } = this.parts;
    for (const section of literal.split(text)) {
      if ('id' in section) {
        ids.push(section.id);
        continue;
      }
      for (const part of normalized.split(normalize(section.text))) {
        if ('id' in part) ids.push(part.id);
        else this.encodePlain(part.text, section.start === 0 && part.start === 0, ids);
      }
    }
    if (withEnds) ids.push(...this.specialSuffix);
    return ids;
  }

  private encodePlain(text: string, first: boolean, ids: number[]): void {
    for (const word of this.parts.preTokenize(text, first)) this.parts.model.encode(word, ids);
  }

  /** The text of the ids; unknown ones are dropped, broken UTF-8 becomes U+FFFD. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const chain = this.startDecoding();
    for (const id of ids) {
      const token = this.visibleToken(id, options);
      if (token !== undefined) chain.push(token);
    }
    return chain.flush();
  }

  tokenToId(token: string): number | undefined {
    return this.parts.vocab.id(token);
  }

  idToToken(id: number): string | undefined {
    return this.parts.vocab.token(id);
  }

  isSpecial(id: number): boolean {
    return this.parts.specialIds.has(id);
  }

  /** @internal A fresh decoder for one text. */
  startDecoding(): DecoderChain {
    return this.parts.startDecoding();
  }

  /** @internal What the decoder is given for an id, if anything. */
  visibleToken(id: number, options: DecodeOptions): string | undefined {
    return options.skipSpecialTokens && this.isSpecial(id) ? undefined : this.idToToken(id);
  }
}

interface TokenizerParts {
  readonly vocab: Vocabulary;
  readonly model: TokenModel;
  /** Finds added tokens in the raw text, and those to be found in the normalised text. */
  readonly literal: AddedTokenFinder;
  readonly normalized: AddedTokenFinder;
  readonly normalize: (text: string) => string;
  readonly preTokenize: PreTokenizer;
  readonly startDecoding: () => DecoderChain;
  readonly surround: Surround;
  readonly specialIds: ReadonlySet<number>;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
}

/**
 * Makes a tokenizer from parsed files. Nothing of them is kept but single strings, so they can be collected.
 *
 * @param file What error messages call the tokenizer.json.
 * @throws TokenizerError where something is broken or not implemented.
 */
export function createTokenizer(files: TokenizerFiles, file = 'tokenizer.json'): Tokenizer {
  return assemble(files, {}, file);
}

function assemble(files: TokenizerFiles, tables: ModelTables, file: string): Tokenizer {
  const { tokenizerJson: json, tokenizerConfig: config = {}, specialTokensMap: map = {} } = files;
  const { vocab, model } = readModel(json.model, file, tables);
  const normalize = readNormalizer(json.normalizer, file);
  const special = specialContents(config, map);
  const added = readAddedTokens(json, config, special, vocab, file);
  for (const token of added.values()) vocab.add(token.content, token.id);
  const named = namedSpecialTokens(config, map);
  const idOf = (name: string) => (named[name] === undefined ? undefined : vocab.id(named[name]));
  const ends = { bos: idOf('bos_token'), eos: idOf('eos_token') };
  const tokens = [...added.values()];
  return new Tokenizer({
    vocab,
    model,
    literal: new AddedTokenFinder(tokens.filter((token) => !token.normalized).map((token) => [token.content, token])),
    normalized: new AddedTokenFinder(
      tokens.filter((token) => token.normalized).map((token) => [normalize(token.content), token]),
    ),
    normalize,
    preTokenize: readPreTokenizer(json.pre_tokenizer, file),
    startDecoding: readDecoder(json.decoder, file),
    surround: withExplicitEnds(readPostProcessor(json.post_processor, vocab, file), config, ends),
    specialIds: new Set(tokens.filter((token) => token.special).map((token) => token.id)),
    bosId: ends.bos,
    eosId: ends.eos,
  });
}

function readNormalizer(config: unknown, file: string): (text: string) => string {
  if (config === null || config === undefined) return (text) => text;
  try {
    const normalizer = new SequenceNormalizer({ type: 'Sequence', normalizers: [config] } as never);
    return (text) => (text === '' ? '' : normalizer.normalize(text));
  } catch (cause) {
    throw new TokenizerError({ file, field: 'normalizer', reason: (cause as Error).message, cause });
  }
}

/**
 * The added tokens of tokenizer.json, with what tokenizer_config.json says on top: its `added_tokens_decoder` wins,
 * and whatever it names as special is special, provided the vocabulary has it.
 */
function readAddedTokens(
  json: JsonObject,
  config: JsonObject,
  special: ReadonlySet<string>,
  vocab: Vocabulary,
  file: string,
): Map<string, AddedToken> {
  const tokens = new Map<string, AddedToken>();
  const add = (id: unknown, value: unknown) => {
    if (!isJsonObject(value) || typeof value.content !== 'string') return;
    const { content } = value;
    checkId(id, () => content, file);
    const isSpecial = value.special === true || special.has(content);
    tokens.set(content, {
      content,
      id,
      singleWord: value.single_word === true,
      lstrip: value.lstrip === true,
      rstrip: value.rstrip === true,
      normalized: typeof value.normalized === 'boolean' ? value.normalized : !isSpecial,
      special: isSpecial,
    });
  };
  for (const token of Array.isArray(json.added_tokens) ? json.added_tokens : []) add((token as JsonObject).id, token);
  if (isJsonObject(config.added_tokens_decoder)) {
    for (const [id, token] of Object.entries(config.added_tokens_decoder)) add(Number(id), token);
  }
  for (const content of special) {
    const id = vocab.id(content);
    if (!tokens.has(content) && id !== undefined) add(id, { content, special: true, normalized: false });
  }
  return tokens;
}

/**
 * The tokenizer of a model folder: tokenizer.json, tokenizer_config.json, special_tokens_map.json. Null where there is
 * no tokenizer.json; other formats, such as sentencepiece's tokenizer.model, are not read.
 *
 * @throws TokenizerError where a file is broken or asks for something that is not implemented.
 */
export async function loadTokenizer(
  dir: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Tokenizer | null> {
  const { signal } = options;
  const [tokenizerConfig, specialTokensMap] = await Promise.all([
    readJsonFile(dir, 'tokenizer_config.json', signal),
    readJsonFile(dir, 'special_tokens_map.json', signal),
  ]);
  const bytes = await readFileBytes(dir, 'tokenizer.json', signal);
  if (bytes === undefined) return null;
  const file = path.join(dir, 'tokenizer.json');
  const { json: tokenizerJson, ...tables } = readTokenizerJson(bytes, file);
  return assemble({ tokenizerJson, tokenizerConfig, specialTokensMap }, tables, file);
}
