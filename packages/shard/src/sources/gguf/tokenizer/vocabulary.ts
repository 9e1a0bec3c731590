import type { GgufMetadata } from '../metadata';

/** What a token is; ggml's llama_token_type. */
export enum TokenKind {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6,
}

/** The tokens of a model, by id. */
export interface GgufVocabulary {
  readonly tokens: readonly string[];
  readonly ids: ReadonlyMap<string, number>;
  readonly kind: (id: number) => TokenKind;
  /** Of sentencepiece; undefined where there are none. */
  readonly scores: Float64Array | undefined;
}

/** Reads the vocabulary. Throws `FormatError` for a token that stands there twice, or lists that differ in length. */
export async function readVocabulary(metadata: GgufMetadata): Promise<GgufVocabulary> {
  const key = 'tokenizer.ggml.tokens';
  const tokens = (await metadata.strings(key)) ?? metadata.fail(key, 'is missing');
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    // An empty string is no token; ggml calls it so too.
    if (token === '') tokens[id] = `[EMPTY_${id}]`;
    if (ids.has(tokens[id]!))
      metadata.fail(key, `has ${JSON.stringify(tokens[id])} as tokens ${ids.get(tokens[id]!)} and ${id}`);
    ids.set(tokens[id]!, id);
  }
  const kinds = await perToken(metadata, 'tokenizer.ggml.token_type', tokens.length);
  const scores = await perToken(metadata, 'tokenizer.ggml.scores', tokens.length);
  return { tokens, ids, kind: (id) => kinds?.[id] ?? TokenKind.Normal, scores };
}

async function perToken(metadata: GgufMetadata, key: string, count: number): Promise<Float64Array | undefined> {
  const numbers = await metadata.numbers(key);
  if (numbers !== undefined && numbers.length < count) {
    metadata.fail(key, `has ${numbers.length} items for ${count} tokens`);
  }
  return numbers;
}
