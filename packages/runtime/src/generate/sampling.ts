import { coupledDraw } from './coupled-draw';
import { descending } from './descending';
import { InvalidLogitsError, NoCandidateError } from './errors';
import { kthLargest } from './kth-largest';
import type { RandomSource } from './random';

/**
 * Changes scores `[vocabSize]` in place before a token is chosen from them; -Infinity rules a token out. `ids` is every
 * token of the sequence so far, prompt included. Must depend on nothing but its arguments: a position that was drafted
 * may be asked for twice, or never be reached.
 */
export type LogitsProcessor = (ids: readonly number[], scores: Float32Array) => void;

/** How the next token is chosen. All numbers as in transformers' GenerationConfig. */
export interface Sampling {
  /** Greedy takes the largest score; `random` draws, and then temperature and the filters count. */
  readonly method: 'greedy' | 'random';
  /** Added to the logits of these tokens. */
  readonly logitBias?: ReadonlyMap<number, number> | undefined;
  /** Above 1 makes tokens that occurred less likely; 1 does nothing. */
  readonly repetitionPenalty: number;
  /** Run one after the other behind the penalty; bans, custom processors and grammars are such. */
  readonly processors?: readonly LogitsProcessor[] | undefined;
  readonly temperature: number;
  /** 0: no limit. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

/** A token that may be drawn, with its score after temperature. */
export interface Candidate {
  readonly id: number;
  readonly score: number;
  /** Of the candidates together 1. */
  readonly probability: number;
}

/**
 * Chooses a token from logits `[vocabSize]`. `logits` is left as it was; `history` holds every token of the sequence so
 * far, prompt included. Takes one number of `random` where it draws, none where it is greedy.
 * Throws `NoCandidateError` where processors rule out every token, `InvalidLogitsError` where no score is a number.
 */
export function sample(
  logits: Float32Array,
  history: readonly number[],
  sampling: Sampling,
  random: RandomSource,
): number {
  if (sampling.method === 'greedy') return greedy(processLogits(logits, history, sampling), history);
  return draw(targetDistribution(logits, history, sampling), random);
}

/**
 * What the token after `history` is drawn from: the candidates that survive, most likely first, lower ids first among
 * equals. A pure function, so that speculation can ask it about positions that were only drafted. Greedy is one
 * candidate of probability 1. In transformers' order: bias, repetition penalty, processors, temperature, top-k, top-p,
 * min-p. Throws `NoCandidateError`, `InvalidLogitsError`.
 */
export function targetDistribution(
  logits: Float32Array,
  history: readonly number[],
  sampling: Sampling,
): readonly Candidate[] {
  const scores = processLogits(logits, history, sampling);
  if (sampling.method === 'greedy') {
    const id = greedy(scores, history);
    return [{ id, score: scores[id]!, probability: 1 }];
  }
  const survivors = filtered(scores, sampling);
  if (survivors.length === 0) throw noCandidate(scores, history.length);
  const probabilities = softmax(survivors);
  return survivors.map(({ id, score }, i) => ({ id, score, probability: probabilities[i]! }));
}

/** Draws from a distribution with one number of `random`. Like distributions give like tokens: see `coupledDraw`. */
export function draw(distribution: readonly Candidate[], random: RandomSource): number {
  return coupledDraw(distribution, random.next());
}

/**
 * Scores after bias, repetition penalty and processors: what greedy takes the largest of, and temperature is applied to.
 * `logits` itself where nothing changes them, else a copy.
 */
export function processLogits(logits: Float32Array, history: readonly number[], sampling: Sampling): Float32Array {
  const { logitBias, repetitionPenalty, processors = [] } = sampling;
  const hasBias = logitBias !== undefined && logitBias.size > 0;
  if (!hasBias && repetitionPenalty === 1 && processors.length === 0) return logits;
  const scores = logits.slice();
  if (hasBias) for (const [id, bias] of logitBias) scores[id]! += bias;
  if (repetitionPenalty !== 1) penalise(scores, history, repetitionPenalty);
  for (const process of processors) process(history, scores);
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

interface Scored {
  readonly id: number;
  readonly score: number;
}

function greedy(scores: Float32Array, history: readonly number[]): number {
  const id = argmax(scores);
  if (!(scores[id]! > Number.NEGATIVE_INFINITY)) throw noCandidate(scores, history.length);
  return id;
}

function noCandidate(scores: Float32Array, position: number): NoCandidateError | InvalidLogitsError {
  return scores.some(Number.isNaN) ? new InvalidLogitsError(position) : new NoCandidateError(position);
}

function penalise(scores: Float32Array, history: readonly number[], penalty: number): void {
  for (const id of new Set(history)) {
    const score = scores[id];
    if (score !== undefined) scores[id] = score < 0 ? score * penalty : score / penalty;
  }
}

/** Tokens that survive temperature and the filters, most likely first. */
function filtered(scores: Float32Array, sampling: Sampling): readonly Scored[] {
  const sorted = largest(scores, sampling.topK > 0 ? sampling.topK : scores.length).map(
    ({ id, score }): Scored => ({ id, score: score / sampling.temperature }),
  );
  return minP(topP(sorted, sampling.topP), sampling.minP);
}

/** The k largest scores and whatever equals the k-th, in descending order, lower ids first among equals. */
function largest(scores: Float32Array, k: number): Scored[] {
  const threshold = k < scores.length ? kthLargest(scores, k) : Number.NEGATIVE_INFINITY;
  const ids: number[] = [];
  scores.forEach((score, id) => {
    if (score >= threshold && score > Number.NEGATIVE_INFINITY) ids.push(id);
  });
  return descending(scores, ids).map((id) => ({ id, score: scores[id]! }));
}

/** The shortest run of the most likely tokens whose probabilities reach p. */
function topP(sorted: readonly Scored[], p: number): readonly Scored[] {
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
function minP(sorted: readonly Scored[], p: number): readonly Scored[] {
  if (p <= 0 || sorted.length === 0) return sorted;
  const threshold = sorted[0]!.score + Math.log(p);
  return sorted.filter(({ score }) => score >= threshold);
}

function softmax(sorted: readonly Scored[]): number[] {
  const weights = sorted.map(({ score }) => Math.exp(score - sorted[0]!.score));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}
