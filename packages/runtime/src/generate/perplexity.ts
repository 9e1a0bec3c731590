import { OptionError } from '@airllm/loader';
import { ContextLengthError, MissingTokenizerError } from '../errors';
import { continuationRows } from './continuation';
import { logSumExp } from './logprobs';
import type { GenerationSession } from './session';

/** The text, and how it is cut into windows. */
export interface PerplexityOptions {
  /** Text to score, or its token ids. */
  readonly text?: string | undefined;
  readonly ids?: readonly number[] | undefined;
  /**
   * Tokens that are read together; each predicts the next one, with those before it in its window as context.
   * @defaultValue the model's context length as it was opened
   */
  readonly window?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Is told after each pass. */
  readonly onProgress?: ((progress: PerplexityProgress) => void) | undefined;
}

/** Told after each window. */
export interface PerplexityProgress {
  /** Tokens scored so far, and in all. */
  readonly tokens: number;
  readonly totalTokens: number;
  /** Of the tokens so far. */
  readonly perplexity: number;
}

/** How well a model predicts a text. */
export interface PerplexityResult {
  /** exp of the mean negative log likelihood, in nats, of every token but each window's first. */
  readonly perplexity: number;
  readonly meanNegativeLogLikelihood: number;
  /** Standard error of that mean over tokens. */
  readonly standardError: number;
  /** Tokens that were scored. */
  readonly tokens: number;
  readonly windows: number;
}

/**
 * How well a model predicts a text (https://huggingface.co/docs/transformers/perplexity, with windows that do not
 * overlap, each begun by the tokenizer's own first token where it has one). Streams the model once per pass of as many
 * rows as the plan lets have logits.
 * Throws `OptionError`, `MissingTokenizerError`, `ContextLengthError`, what reading weights throws, the signal's reason.
 */
export async function perplexity(session: GenerationSession, options: PerplexityOptions): Promise<PerplexityResult> {
  const { contextLength, engine } = session;
  const { window = contextLength, signal, onProgress } = options;
  if (!Number.isSafeInteger(window) || window < 2) {
    throw new OptionError({ option: 'window', expected: 'a whole number of at least 2', found: window });
  }
  if (window > contextLength) throw new ContextLengthError({ promptTokens: window, newTokens: 0, contextLength });
  const windows = cutWindows(idsOf(session, options), window);
  const totalTokens = windows.reduce((sum, ids) => sum + ids.length - 1, 0);
  if (totalTokens === 0) {
    throw new OptionError({ option: 'text', expected: 'at least two tokens', found: 'fewer' });
  }
  const score = new Score();
  for (const ids of windows) {
    using sequence = await engine.openSequence(ids.length, { signal });
    const rows = continuationRows(sequence, ids, engine.model.config).map((row) => ({ ...row, wantsLogits: true }));
    // The last token predicts what lies outside of the window.
    const scored = rows.slice(0, -1);
    for (let from = 0; from < scored.length; from += engine.plan.logitRows) {
      const pass = scored.slice(from, from + engine.plan.logitRows);
      const logits = await engine.step(pass, { signal });
      logits.forEach((row, i) => {
        score.add(row, ids[from + i + 1]!);
      });
      onProgress?.({ tokens: score.tokens, totalTokens, perplexity: Math.exp(score.mean) });
    }
  }
  return {
    perplexity: Math.exp(score.mean),
    meanNegativeLogLikelihood: score.mean,
    standardError: score.standardError,
    tokens: score.tokens,
    windows: windows.length,
  };
}

/** The ids in windows; a first token of the tokenizer's own begins each. */
function cutWindows(
  { prefix, ids }: { prefix: readonly number[]; ids: readonly number[] },
  window: number,
): number[][] {
  const room = window - prefix.length;
  if (room < 1) throw new OptionError({ option: 'window', expected: `more than ${prefix.length}`, found: window });
  const windows: number[][] = [];
  for (let from = 0; from < ids.length; from += room) windows.push([...prefix, ...ids.slice(from, from + room)]);
  return windows.filter((ids) => ids.length > 1);
}

function idsOf(session: GenerationSession, { text, ids }: PerplexityOptions) {
  if ((text === undefined) === (ids === undefined)) {
    throw new OptionError({
      option: 'text',
      expected: 'text or ids, and not both',
      found: text === undefined ? 'neither' : 'both',
    });
  }
  if (ids !== undefined) return { prefix: [], ids };
  const { tokenizer } = session;
  if (tokenizer === null) throw new MissingTokenizerError();
  const plain = tokenizer.encode(text!, { addSpecialTokens: false });
  const whole = tokenizer.encode(text!);
  // What is put before any text: the whole begins with it, and then goes on as the plain text does.
  const before = whole.findIndex((_, i) => plain.every((id, k) => whole[i + k] === id));
  return { prefix: before > 0 ? whole.slice(0, before) : [], ids: plain };
}

/** Negative log likelihoods, added in float64. */
class Score {
  tokens = 0;
  #sum = 0;
  #squares = 0;

  add(logits: Float32Array, id: number): void {
    const loss = logSumExp(logits) - logits[id]!;
    this.#sum += loss;
    this.#squares += loss * loss;
    this.tokens++;
  }

  get mean(): number {
    return this.#sum / this.tokens;
  }

  get standardError(): number {
    if (this.tokens < 2) return Number.POSITIVE_INFINITY;
    const variance = (this.#squares - this.#sum * this.mean) / (this.tokens - 1);
    return Math.sqrt(Math.max(0, variance) / this.tokens);
  }
}
