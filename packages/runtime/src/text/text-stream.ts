import type { Tokenizer } from './tokenizer';
import type { DecoderChain } from './tokenizer/decoder';

export interface TextStreamOptions {
  /** Tokens before the first one pushed: their text is not repeated, but decides how the next ones join it. */
  promptIds?: readonly number[] | undefined;
  /** Leaves special tokens out. Default: false. */
  skipSpecialTokens?: boolean | undefined;
}

// Of a long prompt only the start and the end can matter to what follows.
const PROMPT_HEAD = 16;
const PROMPT_TAIL = 240;

/**
 * Text of tokens that arrive one by one. Each `push` returns the text that has become final, `flush` the rest; together
 * they are the decode of all tokens. Text that ends in U+FFFD is held back, for it may be a character whose bytes are
 * still coming. Nothing that was returned is ever taken back: if a run of byte tokens proves invalid after a part of it
 * was returned, what follows is decoded on its own, and differs from the whole decode there.
 *
 * Costs the same for every token, however long the text.
 */
export class TextStream {
  private readonly chain: DecoderChain;
  private held = '';

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: TextStreamOptions = {},
  ) {
    this.chain = tokenizer.startDecoding();
    const { promptIds = [] } = options;
    const short = promptIds.length <= PROMPT_HEAD + PROMPT_TAIL;
    const context = short ? promptIds : [...promptIds.slice(0, PROMPT_HEAD), ...promptIds.slice(-PROMPT_TAIL)];
    for (const id of context) this.decode(id);
  }

  /** The text that this token makes final, possibly none. An unknown id adds nothing. */
  push(id: number): string {
    const text = this.decode(id);
    const end = text.length - trailingReplacements(text);
    if (end === 0) {
      this.held += text;
      return '';
    }
    const final = this.held + text.slice(0, end);
    this.held = text.slice(end);
    return final;
  }

  /** The text held back. The stream has ended. */
  flush(): string {
    const rest = this.held + this.chain.flush();
    this.held = '';
    return rest;
  }

  private decode(id: number): string {
    const token = this.tokenizer.visibleToken(id, this.options);
    if (token === undefined) return '';
    this.chain.push(token);
    return this.chain.settle();
  }
}

function trailingReplacements(text: string): number {
  let n = 0;
  while (n < text.length && text[text.length - 1 - n] === '\uFFFD') n++;
  return n;
}
