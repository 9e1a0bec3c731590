import type { GgufMetadata } from '../metadata';
import { type GgufVocabulary, TokenKind } from './vocabulary';

/** A merge of two tokens: as `"a b"`, or as a pair where a token has a space in it. */
export type Merge = string | readonly [string, string];

/**
 * The merges of a byte-pair encoding. Some that tiny or trimmed vocabularies carry name tokens which are not there; those
 * could never make a token, and tokenizer.json may not have them.
 */
export async function storedMerges(metadata: GgufMetadata, { ids }: GgufVocabulary): Promise<Merge[]> {
  const key = 'tokenizer.ggml.merges';
  const merges = (await metadata.strings(key)) ?? metadata.fail(key, 'is missing');
  return merges.filter((merge, i) => {
    const space = merge.indexOf(' ', 1);
    if (space < 0) metadata.fail(key, `item ${i}: expected two tokens and a space, found ${JSON.stringify(merge)}`);
    const [left, right] = [merge.slice(0, space), merge.slice(space + 1)];
    return ids.has(left) && ids.has(right) && ids.has(left + right);
  });
}

/**
 * The merges that a sentencepiece vocabulary with scores amounts to, as the converter behind published tokenizer.json
 * files derives them (transformers' convert_slow_tokenizer.py): each way to make a token from two others, the best token
 * first, and for one token by the ids of its parts. For Llama 2's vocabulary that is its published list exactly.
 */
export function mergesFromScores({ tokens, ids, kind, scores }: GgufVocabulary): Merge[] {
  const mergeable = (id: number | undefined): id is number => {
    return id !== undefined && (kind(id) === TokenKind.Normal || kind(id) === TokenKind.UserDefined);
  };
  const found: { left: number; right: number; score: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (!mergeable(id)) continue;
    const ways: typeof found = [];
    // Between code points: neither half may begin in the middle of a pair of surrogates.
    for (let at = width(token, 0); at < token.length; at += width(token, at)) {
      const left = ids.get(token.slice(0, at));
      const right = ids.get(token.slice(at));
      if (mergeable(left) && mergeable(right)) ways.push({ left, right, score: scores?.[id] ?? 0 });
    }
    found.push(...ways.sort((a, b) => a.left - b.left || a.right - b.right));
  }
  found.sort((a, b) => b.score - a.score);
  return found.map(({ left, right }) => merge(tokens[left]!, tokens[right]!));
}

function merge(left: string, right: string): Merge {
  return left.includes(' ') || right.includes(' ') ? [left, right] : `${left} ${right}`;
}

/** UTF-16 units of the character at a place. */
function width(text: string, at: number): 1 | 2 {
  return text.codePointAt(at)! > 0xffff ? 2 : 1;
}
