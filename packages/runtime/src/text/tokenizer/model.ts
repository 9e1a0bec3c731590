import { Unigram, WordPiece } from '@huggingface/tokenizers';
import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import { BpeModel } from './bpe';
import { JsonReader, type JsonSpan } from './json-tables';
import { MergeTable } from './merge-table';
import type { TokenModel } from './token-model';
import { Vocabulary } from './vocabulary';

/** The tables of a model as bytes of its file, where they were not parsed. */
export interface ModelTables {
  readonly vocab?: JsonSpan;
  readonly merges?: JsonSpan;
}

/**
 * Reads the `model` of a tokenizer.json.
 *
 * @throws TokenizerError where it is broken or not implemented.
 */
export function readModel(
  model: unknown,
  file: string,
  tables: ModelTables = {},
): { vocab: Vocabulary; model: TokenModel } {
  if (!isJsonObject(model)) throw new TokenizerError({ file, field: 'model', reason: 'expected an object' });
  try {
    return readTables(model, file, tables);
  } catch (cause) {
    // The walk over the bytes met something else than a table of tokens.
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new TokenizerError({ file, field: 'model', reason: cause.message, cause });
  }
}

function readTables(model: JsonObject, file: string, tables: ModelTables): { vocab: Vocabulary; model: TokenModel } {
  const type = model.type ?? guessType(model, tables);
  switch (type) {
    case 'BPE': {
      const vocab = mapVocabulary(model, tables, file);
      return { vocab, model: new BpeModel(model, readMerges(model, tables, vocab, file), vocab) };
    }
    case 'WordPiece': {
      // The library's model wants the vocabulary itself.
      if (tables.vocab !== undefined) model.vocab = parseSpan(tables.vocab);
      const vocab = mapVocabulary(model, {}, file);
      return { vocab, model: new LibraryModel(new WordPiece(model as never) as unknown as LibraryTokenModel, vocab) };
    }
    case 'Unigram': {
      const vocab = listVocabulary(model, file);
      return { vocab, model: new LibraryModel(new Unigram(model as never, '') as unknown as LibraryTokenModel, vocab) };
    }
    case 'WordLevel': {
      const vocab = mapVocabulary(model, tables, file);
      return { vocab, model: new WordLevelModel(vocab, vocab.id(String(model.unk_token))) };
    }
  }
  throw new TokenizerError({ file, field: 'model.type', reason: `'${String(type)}' is not implemented` });
}

/** Files of the first versions have no type. */
function guessType(model: JsonObject, tables: ModelTables): string {
  if (Array.isArray(model.vocab)) return 'Unigram';
  if (Array.isArray(model.merges) || tables.merges !== undefined) return 'BPE';
  return model.continuing_subword_prefix === undefined ? 'WordLevel' : 'WordPiece';
}

function mapVocabulary(model: JsonObject, tables: ModelTables, file: string): Vocabulary {
  const vocab = new Vocabulary();
  if (tables.vocab !== undefined) {
    const reader = readerOf(tables.vocab);
    const { text } = reader;
    reader.integers((id) => {
      checkId(id, () => utf8.decode(text.bytes.subarray(0, text.length)), file);
      vocab.addBytes(text.bytes, 0, text.length, id);
    });
    return vocab;
  }
  if (!isJsonObject(model.vocab))
    throw new TokenizerError({ file, field: 'model.vocab', reason: 'expected an object' });
  for (const [token, id] of Object.entries(model.vocab)) {
    checkId(id, () => token, file);
    vocab.add(token, id);
  }
  return vocab;
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const readerOf = ({ bytes, start, end }: JsonSpan): JsonReader => new JsonReader(bytes, start, end);
const parseSpan = ({ bytes, start, end }: JsonSpan): unknown => JSON.parse(utf8.decode(bytes.subarray(start, end)));

// No model comes near; a damaged id must not allocate gigabytes. The largest vocabulary known has 262,145 tokens.
const MAX_ID = 2 ** 22;

export function checkId(id: unknown, token: () => string, file: string): asserts id is number {
  if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < MAX_ID) return;
  const reason = `the id of ${JSON.stringify(token())} is ${String(id)}, expected a whole number below ${MAX_ID}`;
  throw new TokenizerError({ file, field: 'vocabulary', reason });
}

function listVocabulary(model: JsonObject, file: string): Vocabulary {
  const vocab = new Vocabulary();
  if (!Array.isArray(model.vocab)) throw new TokenizerError({ file, field: 'model.vocab', reason: 'expected a list' });
  for (const [id, [token]] of (model.vocab as [string, number][]).entries()) vocab.add(token, id);
  return vocab;
}

/** Merges as `"a b"` (old files) or `["a", "b"]`, from the bytes of the file or from the parsed list. */
function readMerges(model: JsonObject, tables: ModelTables, vocab: Vocabulary, file: string): MergeTable {
  const prefix = typeof model.continuing_subword_prefix === 'string' ? utf8Bytes(model.continuing_subword_prefix) : 0;
  const merges = new MergeTable(expectedMerges(model, tables));
  const fail = (reason: string): never => {
    throw new TokenizerError({ file, field: 'model.merges', reason });
  };
  /** A merge of the tokens `[0, middle)` and `[middle, end)` of a buffer, which is overwritten. */
  const add = (bytes: Uint8Array, middle: number, end: number) => {
    const left = vocab.idOfBytes(bytes, 0, middle);
    const right = vocab.idOfBytes(bytes, middle, end);
    const parts = () => [utf8.decode(bytes.subarray(0, middle)), utf8.decode(bytes.subarray(middle, end))];
    if (left === undefined || right === undefined) return fail(unknownMerge(parts()));
    if (prefix > 0) bytes.copyWithin(middle, middle + prefix, end);
    const merged = vocab.idOfBytes(bytes, 0, end - prefix);
    if (merged === undefined) return fail(unknownMerge(parts()));
    merges.add(left, right, merged);
  };
  if (tables.merges === undefined) {
    if (!Array.isArray(model.merges)) return fail('expected a list');
    for (const merge of model.merges as unknown[]) {
      const pair = typeof merge === 'string' ? merge.split(' ') : merge;
      if (!Array.isArray(pair) || pair.length !== 2) return fail(`expected two tokens, found ${JSON.stringify(merge)}`);
      const bytes = new TextEncoder().encode(`${pair[0]}${pair[1]}`);
      add(bytes, utf8Bytes(String(pair[0])), bytes.length);
    }
    return merges;
  }
  const reader = readerOf(tables.merges);
  const { text } = reader;
  reader.items(() => {
    if (reader.peek() === '[') {
      reader.expect('[');
      reader.string();
      const middle = text.length;
      reader.expect(',');
      reader.string(middle);
      reader.expect(']');
      add(text.bytes, middle, text.length);
      return;
    }
    reader.string();
    const found = text.bytes.subarray(0, text.length);
    const space = found.indexOf(SPACE);
    if (space < 0 || found.indexOf(SPACE, space + 1) >= 0) {
      fail(`expected two tokens, found ${JSON.stringify(utf8.decode(found))}`);
    }
    text.bytes.copyWithin(space, space + 1, text.length);
    add(text.bytes, space, text.length - 1);
  });
  return merges;
}

const unknownMerge = (parts: string[]): string =>
  `the merge ${JSON.stringify(parts)} names a token that is not in the vocabulary`;
// Real files have 16 (llama3, "a b") to 35 (gptoss, ["a", "b"] on lines of their own) bytes a merge.
const expectedMerges = (model: JsonObject, { merges }: ModelTables): number =>
  merges === undefined ? (Array.isArray(model.merges) ? model.merges.length : 0) : (merges.end - merges.start) >> 5;
const SPACE = 0x20;
const utf8Bytes = (text: string): number => new TextEncoder().encode(text).length;

/** A model of @huggingface/tokenizers, called with a list of words and giving token texts. */
type LibraryTokenModel = (words: string[]) => string[];

class LibraryModel implements TokenModel {
  constructor(
    private readonly model: LibraryTokenModel & { unk_token_id?: number },
    private readonly vocab: Vocabulary,
  ) {}

  encode(word: string, out: number[]): void {
    for (const token of this.model([word])) {
      const id = this.vocab.id(token) ?? this.model.unk_token_id;
      if (id !== undefined) out.push(id);
    }
  }
}

class WordLevelModel implements TokenModel {
  constructor(
    private readonly vocab: Vocabulary,
    private readonly unk: number | undefined,
  ) {}

  encode(word: string, out: number[]): void {
    const id = this.vocab.id(word) ?? this.unk;
    if (id !== undefined) out.push(id);
  }
}
