import { Unigram, WordPiece } from '@huggingface/tokenizers';
import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import { BpeModel } from './bpe';
import { JsonReader, type JsonSpan, JsonText } from './json-tables';
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
  if (tables.vocab !== undefined) {
    const vocab = new Vocabulary(tables.vocab.strings);
    const reader = readerOf(tables.vocab);
    const { text } = reader;
    const token = () => text.toString();
    reader.integers((id) => {
      checkId(id, token, file);
      vocab.addBytes(text.bytes, text.start, text.end, id);
    });
    return vocab;
  }
  const vocab = new Vocabulary();
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
  const merges = new MergeTable(vocab, prefix, expectedMerges(model, tables.merges));
  const fail = (reason: string): never => {
    throw new TokenizerError({ file, field: 'model.merges', reason });
  };
  /** A merge of the tokens `[aStart, aEnd)` and `[bStart, bEnd)` of two buffers. */
  const add = (a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number) => {
    if (merges.add(a, aStart, aEnd, b, bStart, bEnd)) return;
    fail(unknownMerge([utf8.decode(a.subarray(aStart, aEnd)), utf8.decode(b.subarray(bStart, bEnd))]));
  };
  if (tables.merges === undefined) {
    if (!Array.isArray(model.merges)) return fail('expected a list');
    for (const merge of model.merges as unknown[]) {
      const pair = typeof merge === 'string' ? merge.split(' ') : merge;
      if (!Array.isArray(pair) || pair.length !== 2) return fail(`expected two tokens, found ${JSON.stringify(merge)}`);
      const [a, b] = pair.map((part) => new TextEncoder().encode(String(part))) as [Uint8Array, Uint8Array];
      add(a, 0, a.length, b, 0, b.length);
    }
    return merges;
  }
  const reader = readerOf(tables.merges);
  const left = new JsonText();
  const right = new JsonText();
  reader.items(() => {
    if (reader.peek() === '[') {
      reader.expect('[');
      reader.string(left);
      reader.expect(',');
      reader.string(right);
      reader.expect(']');
      add(left.bytes, left.start, left.end, right.bytes, right.start, right.end);
      return;
    }
    reader.string(left);
    const { bytes, start, end } = left;
    const space = indexOf(bytes, SPACE, start, end);
    if (space === end || indexOf(bytes, SPACE, space + 1, end) < end) {
      fail(`expected two tokens, found ${JSON.stringify(left.toString())}`);
    }
    add(bytes, start, space, bytes, space + 1, end);
  });
  return merges;
}

const unknownMerge = (parts: string[]): string =>
  `the merge ${JSON.stringify(parts)} makes a token that is not in the vocabulary`;
/** Merges are strings of two tokens, or lists of two strings. */
function expectedMerges(model: JsonObject, merges: JsonSpan | undefined): number {
  if (merges === undefined) return Array.isArray(model.merges) ? model.merges.length : 0;
  const arePairs = readerOf({ ...merges, start: merges.start + 1 }).peek() === '[';
  return arePairs ? merges.strings / 2 : merges.strings;
}

function indexOf(bytes: Uint8Array, byte: number, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== byte) at++;
  return at;
}

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
