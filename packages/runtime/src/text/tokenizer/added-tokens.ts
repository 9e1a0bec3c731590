/** A token that is looked for in the text itself, before anything else is done to it. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** Only between characters that are not part of a word. */
  readonly singleWord: boolean;
  /** Takes the white space before it along. */
  readonly lstrip: boolean;
  /** Takes the white space behind it along. */
  readonly rstrip: boolean;
  /** Looked for in the normalised text. */
  readonly normalized: boolean;
  readonly special: boolean;
}

/** A piece of a text: an added token's id, or text between them with its place. */
export type Section = { readonly id: number } | { readonly text: string; readonly start: number };

const WORD_CHAR = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /\p{White_Space}/u;

/** Finds added tokens in a text: the leftmost, and of those the longest. */
export class AddedTokenFinder {
  private readonly tokens = new Map<string, AddedToken>();
  /** Lengths to try by the first UTF-16 unit, longest first: cheaper than a trie, in time and memory. */
  private readonly lengths = new Map<number, number[]>();

  constructor(tokens: Iterable<readonly [text: string, token: AddedToken]>) {
    for (const [text, token] of tokens) {
      if (text === '') continue;
      this.tokens.set(text, token);
      const first = text.charCodeAt(0);
      const lengths = this.lengths.get(first) ?? [];
      if (!lengths.includes(text.length)) lengths.push(text.length);
      this.lengths.set(first, lengths);
    }
    for (const lengths of this.lengths.values()) lengths.sort((a, b) => b - a);
  }

  split(text: string): Section[] {
    const out: Section[] = [];
    let done = 0;
    for (let i = 0; i < text.length; i++) {
      const found = this.at(text, i);
      if (found === undefined) continue;
      const { token, length } = found;
      let start = i;
      let end = i + length;
      if (token.singleWord && (WORD_CHAR.test(text[i - 1] ?? '') || WORD_CHAR.test(text[end] ?? ''))) {
        i = end - 1;
        continue;
      }
      if (token.lstrip) while (start > done && SPACE.test(text[start - 1]!)) start--;
      if (token.rstrip) while (end < text.length && SPACE.test(text[end]!)) end++;
      if (start > done) out.push({ text: text.slice(done, start), start: done });
      out.push({ id: token.id });
      done = end;
      i = end - 1;
    }
    if (done < text.length) out.push({ text: text.slice(done), start: done });
    return out;
  }

  private at(text: string, start: number): { token: AddedToken; length: number } | undefined {
    const lengths = this.lengths.get(text.charCodeAt(start));
    if (lengths === undefined) return undefined;
    for (const length of lengths) {
      const token = this.tokens.get(text.slice(start, start + length));
      if (token !== undefined) return { token, length };
    }
    return undefined;
  }
}
