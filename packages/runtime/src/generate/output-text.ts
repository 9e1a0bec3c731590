import { StopStrings, TextStream, type Tokenizer } from '../text';

/** Text of the tokens so far: decoded as it becomes final, cut at the first stop string. */
export class OutputText {
  readonly #decoder: TextStream | null;
  readonly #stops: StopStrings;
  /** All of it that is final. */
  all = '';

  /** Without a tokenizer there is no text. */
  constructor(tokenizer: Tokenizer | null, prompt: readonly number[], stop: readonly string[]) {
    this.#decoder = tokenizer && new TextStream(tokenizer, { promptIds: prompt, skipSpecialTokens: true });
    this.#stops = new StopStrings(stop);
  }

  get stopped(): boolean {
    return this.#stops.matched !== null;
  }

  /** What this token makes final. */
  push(id: number): string {
    return this.#show(this.#stops.push(this.#decoder?.push(id) ?? ''));
  }

  /** What was held back because more might have followed. */
  flush(): string {
    if (this.stopped) return '';
    return this.#show(this.#stops.push(this.#decoder?.flush() ?? '') + this.#stops.flush());
  }

  #show(text: string): string {
    this.all += text;
    return text;
  }
}
