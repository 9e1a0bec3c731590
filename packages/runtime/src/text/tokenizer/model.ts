import { Unigram, WordPiece } from '@huggingface/tokenizers';
import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import { BpeModel } from './bpe';
import { Vocabulary } from './vocabulary';

/** Splits a pre-tokenised word into tokens. */
export interface TokenModel {
  /** Appends the word's token ids to `out`. */
  encode(word: string, out: number[]): void;
}

/**
 * Reads the `model` of a tokenizer.json.
 *
 * @throws TokenizerError where it is broken or not implemented.
 */
export function readModel(model: unknown, file: string): { vocab: Vocabulary; model: TokenModel } {
  if (!isJsonObject(model)) throw new TokenizerError({ file, field: 'model', reason: 'expected an object' });
  const type = model.type ?? guessType(model);
  switch (type) {
    case 'BPE': {
      const vocab = mapVocabulary(model, file);
      return { vocab, model: new BpeModel(model, mergePairs(model.merges, file), vocab, file) };
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
      const vocab = mapVocabulary(model, file);
      return { vocab, model: new WordLevelModel(vocab, vocab.id(String(model.unk_token))) };
    }
  }
  throw new TokenizerError({ file, field: 'model.type', reason: `'${String(type)}' is not implemented` });
}

/** Files of the first versions have no type. */
function guessType(model: JsonObject): string {
  if (Array.isArray(model.vocab)) return 'Unigram';
  if (Array.isArray(model.merges)) return 'BPE';
  return model.continuing_subword_prefix === undefined ? 'WordLevel' : 'WordPiece';
}

function mapVocabulary(model: JsonObject, file: string): Vocabulary {
  const vocab = new Vocabulary();
  if (!isJsonObject(model.vocab))
    throw new TokenizerError({ file, field: 'model.vocab', reason: 'expected an object' });
  // In the order of ids, so that the table of tokens grows without holes.
  const entries = Object.entries(model.vocab) as [string, number][];
  for (const [token, id] of entries) checkId(id, token, file);
  for (const [token, id] of entries.sort((a, b) => a[1] - b[1])) vocab.add(token, id);
  return vocab;
}

// No model comes near; a damaged id must not allocate gigabytes. The largest vocabulary known has 262,145 tokens.
const MAX_ID = 2 ** 24;

export function checkId(id: unknown, token: string, file: string): asserts id is number {
  if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < MAX_ID) return;
  const reason = `the id of ${JSON.stringify(token)} is ${String(id)}, expected a whole number below ${MAX_ID}`;
  throw new TokenizerError({ file, field: 'vocabulary', reason });
}

function listVocabulary(model: JsonObject, file: string): Vocabulary {
  const vocab = new Vocabulary();
  if (!Array.isArray(model.vocab)) throw new TokenizerError({ file, field: 'model.vocab', reason: 'expected a list' });
  for (const [id, [token]] of (model.vocab as [string, number][]).entries()) vocab.add(token, id);
  return vocab;
}

/** Merges as `"a b"` (old files) or `["a", "b"]`, without making a copy of the list. */
function mergePairs(merges: unknown, file: string): Iterable<readonly [string, string]> & { readonly length: number } {
  if (!Array.isArray(merges)) throw new TokenizerError({ file, field: 'model.merges', reason: 'expected a list' });
  return {
    length: merges.length,
    *[Symbol.iterator]() {
      for (const merge of merges as unknown[]) {
        const pair = typeof merge === 'string' ? merge.split(' ') : merge;
        if (!Array.isArray(pair) || pair.length !== 2) {
          const reason = `expected two tokens, found ${JSON.stringify(merge)}`;
          throw new TokenizerError({ file, field: 'model.merges', reason });
        }
        yield pair as unknown as readonly [string, string];
      }
    },
  };
}

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
