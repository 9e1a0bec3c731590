import { kthLargest } from './kth-largest';

/** A token with its log probability, in nats. */
export interface TokenLogprob {
  readonly id: number;
  /** The token's own text; U+FFFD where it is only a part of a character. Empty for a model without tokenizer. */
  readonly token: string;
  readonly logprob: number;
}

/** A token that was chosen, and the most likely ones at its place, whether it is among them or not. */
export interface ChosenLogprob extends TokenLogprob {
  /** Most likely first, lower ids first among equals. */
  readonly top: readonly TokenLogprob[];
}

/**
 * Log probabilities under the model's own distribution: the softmax of its logits, before bias, penalties, processors and
 * temperature. So they do not depend on how the token was chosen, as OpenAI's, vLLM's and llama.cpp's by default;
 * transformers' `output_logits` is the same, its `output_scores` what is left after processing.
 */
export function chosenLogprob(
  logits: Float32Array,
  id: number,
  count: number,
  textOf: (id: number) => string,
): ChosenLogprob {
  const total = logSumExp(logits);
  const logprobOf = (id: number): TokenLogprob => ({ id, token: textOf(id), logprob: logits[id]! - total });
  return { ...logprobOf(id), top: mostLikely(logits, Math.min(count, logits.length)).map(logprobOf) };
}

/** log Σ exp(logit) in float64. */
export function logSumExp(logits: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > most) most = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}

function mostLikely(logits: Float32Array, count: number): number[] {
  if (count === 0) return [];
  const threshold = kthLargest(logits, count);
  const ids: number[] = [];
  logits.forEach((logit, id) => {
    if (logit >= threshold) ids.push(id);
  });
  return ids.sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, count);
}
