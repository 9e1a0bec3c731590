import { kthLargest } from './kth-largest';
import type { RandomSource } from './random';

/** How the next token is chosen. All numbers as in transformers' GenerationConfig. */
export interface Sampling {
  /** Greedy takes the largest logit; `random` draws, and then the filters below count. */
  readonly method: 'greedy' | 'random';
  /** Above 1 makes tokens that occurred less likely; 1 does nothing. Applies to greedy too. */
  readonly repetitionPenalty: number;
  readonly temperature: number;
  /** 0: no limit. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

/**
 * Chooses a token from logits `[vocabSize]`, in transformers' order: repetition penalty, temperature, top-k, top-p,
 * min-p, draw. `logits` is left as it was. `history` holds every token of the sequence so far, prompt included.
 */
export function sample(
  logits: Float32Array,
  history: readonly number[],
  sampling: Sampling,
  random: RandomSource,
): number {
  const scores = penalised(logits, history, sampling.repetitionPenalty);
  if (sampling.method === 'greedy') return argmax(scores);
  return draw(candidates(scores, sampling), random);
}

/** A token that may be drawn, with its score after temperature. */
interface Candidate {
  readonly id: number;
  readonly score: number;
}

/** Tokens that survive the filters, most likely first. */
export function candidates(scores: Float32Array, sampling: Sampling): readonly Candidate[] {
  const sorted = largest(scores, sampling.topK > 0 ? sampling.topK : scores.length).map(
    ({ id, score }): Candidate => ({ id, score: score / sampling.temperature }),
  );
  return minP(topP(sorted, sampling.topP), sampling.minP);
}

function penalised(logits: Float32Array, history: readonly number[], penalty: number): Float32Array {
  if (penalty === 1) return logits;
  const scores = logits.slice();
  for (const id of new Set(history)) {
    const score = scores[id];
    if (score !== undefined) scores[id] = score < 0 ? score * penalty : score / penalty;
  }
  return scores;
}

/** Index of the largest score, the lowest one among equals; NaN never wins. */
export function argmax(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) {
    if (scores[i]! > scores[best]! || Number.isNaN(scores[best]!)) best = i;
  }
  return best;
}

/** The k largest scores and whatever equals the k-th, in descending order. */
function largest(scores: Float32Array, k: number): Candidate[] {
  const threshold = k < scores.length ? kthLargest(scores, k) : Number.NEGATIVE_INFINITY;
  const kept: Candidate[] = [];
  scores.forEach((score, id) => {
    if (score >= threshold && score > Number.NEGATIVE_INFINITY) kept.push({ id, score });
  });
  return kept.sort((a, b) => b.score - a.score || a.id - b.id);
}

/** The shortest run of the most likely tokens whose probabilities reach p. */
function topP(sorted: readonly Candidate[], p: number): readonly Candidate[] {
  if (p >= 1) return sorted;
  const probabilities = softmax(sorted);
  let sum = 0;
  const count = probabilities.findIndex((probability) => {
    sum += probability;
    return sum >= p;
  });
  return count < 0 ? sorted : sorted.slice(0, count + 1);
}

/** Tokens at least p times as likely as the most likely one. */
function minP(sorted: readonly Candidate[], p: number): readonly Candidate[] {
  if (p <= 0) return sorted;
  const threshold = sorted[0]!.score + Math.log(p);
  return sorted.filter(({ score }) => score >= threshold);
}

function softmax(sorted: readonly Candidate[]): number[] {
  const weights = sorted.map(({ score }) => Math.exp(score - sorted[0]!.score));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function draw(sorted: readonly Candidate[], random: RandomSource): number {
  const probabilities = softmax(sorted);
  let left = random.next();
  for (const [i, probability] of probabilities.entries()) {
    left -= probability;
    if (left < 0) return sorted[i]!.id;
  }
  return sorted[sorted.length - 1]!.id;
}
