import type { GenerateRequest, GenerateResult } from '../generate/types';
import type { TokenBytes } from '../text';
import type { Body } from './body';

/** What the answers to a batch say alike. */
export interface AnswerFacts {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

/** What a body asks for, and how the results become the response's body. */
export interface Call {
  readonly requests: readonly GenerateRequest[];
  /** `results` are parallel to `requests`. */
  answer(results: readonly GenerateResult[], facts: AnswerFacts): Readonly<Record<string, unknown>>;
}

/** A path of the API. `tokens` is null for a model without tokenizer. */
export type Endpoint = (body: Body, tokens: TokenBytes | null) => Call;

/** All texts of a result. */
export function textsOf(result: GenerateResult): readonly GenerateResult[] {
  return result.sequences ?? [result];
}

export function finishReason({ finishReason }: GenerateResult): 'stop' | 'length' {
  return finishReason === 'length' ? 'length' : 'stop';
}

/** A prompt counts once, however many texts were drawn from it. */
export function usageOf(results: readonly GenerateResult[]): Readonly<Record<string, number>> {
  let promptTokens = 0;
  let newTokens = 0;
  for (const result of results) {
    promptTokens += result.usage.promptTokens;
    for (const { usage } of textsOf(result)) newTokens += usage.newTokens;
  }
  return { prompt_tokens: promptTokens, completion_tokens: newTokens, total_tokens: promptTokens + newTokens };
}
