import { TokenBytes, type Tokenizer } from '../text';
import { type ChosenLogprob, chosenLogprob } from './logprobs';
import type { ResolvedGeneration } from './options';
import { OutputText } from './output-text';
import type { FinishReason, GenerateStats, StreamEvent } from './types';

export interface TranscriptOptions {
  /** Without one there is no text. */
  readonly tokenizer: Tokenizer | null;
  readonly endTokens: ReadonlySet<number>;
  readonly resolved: ResolvedGeneration;
  readonly prompt: readonly number[];
  /** Tokens that may be generated. */
  readonly limit: number;
  readonly returnLogits: boolean;
  /** Prompt tokens that a prompt cache had, if there was one. */
  readonly cachedTokens?: number | undefined;
}

/** What has been generated so far: tokens, their text, what is to be told about them, and whether the text has ended. */
export class Transcript {
  /** Every token, the prompt's included. */
  readonly history: number[];
  readonly #options: TranscriptOptions;
  readonly #text: OutputText;
  readonly #logprobOf: ((logits: Float32Array, id: number) => ChosenLogprob) | undefined;
  readonly #logits: Float32Array[] = [];
  readonly #logprobs: ChosenLogprob[] = [];
  #finishReason: FinishReason | undefined;

  constructor(options: TranscriptOptions) {
    const { tokenizer, resolved, prompt } = options;
    this.#options = options;
    this.history = [...prompt];
    this.#text = new OutputText(tokenizer, prompt, resolved.stop);
    this.#logprobOf = logprobTeller(options);
  }

  /** Undefined while the text goes on. */
  get finishReason(): FinishReason | undefined {
    return this.#finishReason;
  }

  /** Tokens that may still be generated. */
  get left(): number {
    return this.#options.limit - (this.history.length - this.#options.prompt.length);
  }

  /** Takes a token and the logits it was chosen from, which it does not keep, and says what to tell of it. */
  append(id: number, logits: Float32Array): StreamEvent {
    const { endTokens, resolved, returnLogits } = this.#options;
    if (returnLogits) this.#logits.push(logits.slice());
    const logprob = this.#logprobOf?.(logits, id);
    if (logprob) this.#logprobs.push(logprob);
    this.history.push(id);
    const ended = !resolved.ignoreEos && endTokens.has(id);
    const piece = ended ? '' : this.#text.push(id);
    this.#finishReason = ended ? 'eos' : this.#stops() ? 'stop' : this.left === 0 ? 'length' : undefined;
    return {
      type: 'text',
      text: this.#finishReason === undefined ? piece : piece + this.#text.flush(),
      ids: [id],
      ...(logprob && { logprobs: [logprob] }),
    };
  }

  /** The last event, once the text has ended. */
  finish(stats: GenerateStats): StreamEvent {
    const { prompt, returnLogits, cachedTokens } = this.#options;
    const ids = this.history.slice(prompt.length);
    return {
      type: 'finish',
      text: this.#text.all,
      ids,
      finishReason: this.#finishReason!,
      usage: {
        promptTokens: prompt.length,
        ...(cachedTokens !== undefined && { cachedTokens }),
        newTokens: ids.length,
      },
      stats,
      ...(returnLogits && { logits: this.#logits }),
      ...(this.#logprobOf && { logprobs: this.#logprobs }),
    };
  }

  #stops(): boolean {
    const { stoppingCriteria } = this.#options.resolved;
    return this.#text.stopped || stoppingCriteria.some((stops) => stops(this.history, this.#text.all));
  }
}

/** Tells a chosen token's log probability, if anybody wants to know. */
function logprobTeller({ tokenizer, resolved }: TranscriptOptions) {
  const { topLogprobs } = resolved;
  if (topLogprobs === undefined) return undefined;
  const tokens = tokenizer && new TokenBytes(tokenizer);
  const textOf = (id: number) => tokens?.text(id) ?? '';
  return (logits: Float32Array, id: number) => chosenLogprob(logits, id, topLogprobs, textOf);
}
