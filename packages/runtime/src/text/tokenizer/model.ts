import { Unigram, WordPiece } from '@huggingface/tokenizers';
import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import { BpeModel } from './bpe';
import type { ModelTables } from './json-tables';
import { MergeTable } from './merge-table';
import type { TokenModel } from './token-model';
import { isTokenId, TOKEN_IDS, Vocabulary } from './vocabulary';

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
  const type = model.type ?? guessType(model, tables);
  switch (type) {
    case 'BPE': {
      const vocab = tables.vocab ?? mapVocabulary(model, file);
      return { vocab, model: new BpeModel(model, tables.merges ?? readMerges(model, vocab, file), vocab) };
    }
    case 'WordPiece': {
      const vocab = mapVocabulary(model, file);
      return { vocab, model: new LibraryModel(new WordPiece(model as never) as unknown as LibraryTokenModel, vocab) };
    }
    case 'Unigram': {
      const vocab = listVocabulary(model, file);
      return { vocab, model: new LibraryModel(new Unigram(model as never, '') as unknown as LibraryTokenModel, vocab) };
    }
    case 'WordLevel': {
      const vocab = tables.vocab ?? mapVocabulary(model, file);
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

function mapVocabulary(model: JsonObject, file: string): Vocabulary {
  const vocab = new Vocabulary();
  if (!isJsonObject(model.vocab))
    throw new TokenizerError({ file, field: 'model.vocab', reason: 'expected an object' });
  for (const [token, id] of Object.entries(model.vocab)) {
    checkId(id, () => token, file);
    vocab.add(token, id);
  }
  return vocab;
}

export function checkId(id: unknown, token: () => string, file: string): asserts id is number {
  if (isTokenId(id)) return;
  const reason = `the id of ${JSON.stringify(token())} is ${String(id)}, expected a whole number below ${TOKEN_IDS}`;
  throw new TokenizerError({ file, field: 'vocabulary', reason });
}

function listVocabulary(model: JsonObject, file: string): Vocabulary {
  const vocab = new Vocabulary();
  if (!Array.isArray(model.vocab)) throw new TokenizerError({ file, field: 'model.vocab', reason: 'expected a list' });
  for (const [id, [token]] of (model.vocab as [string, number][]).entries()) vocab.add(token, id);
  return vocab;
}

/** Merges as `"a b"` (old files) or `["a", "b"]`. */
function readMerges(model: JsonObject, vocab: Vocabulary, file: string): MergeTable {
  const { merges: list, continuing_subword_prefix: prefix } = model;
  const fail = (reason: string): never => {
    throw new TokenizerError({ file, field: 'model.merges', reason });
  };
  if (!Array.isArray(list)) return fail('expected a list');
  const merges = new MergeTable(vocab, typeof prefix === 'string' ? utf8.encode(prefix).length : 0, list.length);
  for (const merge of list as unknown[]) {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(pair) || pair.length !== 2) return fail(`expected two tokens, found ${JSON.stringify(merge)}`);
    const [a, b] = pair.map((part) => utf8.encode(String(part))) as [Uint8Array, Uint8Array];
    if (!merges.add(a, 0, a.length, b, 0, b.length)) {
      return fail(`the merge ${JSON.stringify(pair)} makes a token that is not in the vocabulary`);
    }
  }
  return merges;
}

const utf8 = new TextEncoder();

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
