import type { Sequence } from '../engine';
import { StopStrings, TextStream, TokenBytes } from '../text';
import { continuationRows } from './continuation';
import { type ChosenLogprob, chosenLogprob } from './logprobs';
import { type ResolvedGeneration, resolveGeneration } from './options';
import { newTokenLimit, promptIds } from './prompt';
import { seededRandom } from './random';
import { sample } from './sampling';
import type { GenerationSession } from './session';
import { Stopwatch } from './stopwatch';
import type { FinishReason, GenerateRequest, GenerateResult, StreamEvent } from './types';

/**
 * Generates token by token. Leaving the loop ends the work; aborting the request's signal rejects with its reason.
 * Throws `OptionError`, `ContextLengthError`, `MissingTokenizerError`, `ChatTemplateError`, and what reading weights throws.
 */
export async function* stream(session: GenerationSession, request: GenerateRequest): AsyncGenerator<StreamEvent, void> {
  const { engine } = session;
  request.signal?.throwIfAborted();
  const resolved = resolveGeneration(request, session.defaults, engine.model.config);
  const prompt = promptIds(request, session);
  const limit = newTokenLimit(prompt.length, session.contextLength, resolved);
  const watch = new Stopwatch(engine);
  const sequence = await engine.openSequence(prompt.length + limit, { signal: request.signal });
  try {
    yield* run({ session, request, resolved, prompt, limit, watch, sequence });
  } finally {
    sequence.dispose();
  }
}

/** Generates to the end; see {@link stream}. */
export async function generate(session: GenerationSession, request: GenerateRequest): Promise<GenerateResult> {
  for await (const event of stream(session, request)) {
    if (event.type === 'finish') {
      const { type: _, ...result } = event;
      return result;
    }
  }
  throw new Error('a stream ends with its finish event');
}

interface Run {
  readonly session: GenerationSession;
  readonly request: GenerateRequest;
  readonly resolved: ResolvedGeneration;
  readonly prompt: readonly number[];
  readonly limit: number;
  readonly watch: Stopwatch;
  readonly sequence: Sequence;
}

async function* run({ session, request, resolved, prompt, limit, watch, sequence }: Run): AsyncGenerator<StreamEvent> {
  const { engine, endTokens } = session;
  const random = seededRandom(resolved.seed);
  const text = new Output(session, prompt, resolved.stop);
  const history = [...prompt];
  const kept: Float32Array[] = [];
  const logprobOf = logprobTeller(session, resolved);
  const logprobs: ChosenLogprob[] = [];
  let finishReason: FinishReason | undefined;
  while (finishReason === undefined) {
    const rows = continuationRows(sequence, history, engine.model.config);
    const [logits] = await engine.step(rows, { signal: request.signal });
    const id = sample(logits!, history, resolved.sampling, random);
    if (request.returnLogits) kept.push(logits!);
    const logprob = logprobOf?.(logits!, id);
    if (logprob) logprobs.push(logprob);
    history.push(id);
    watch.token();
    const ended = !resolved.ignoreEos && endTokens.has(id);
    const piece = ended ? '' : text.push(id);
    finishReason = ended
      ? 'eos'
      : text.stopped || resolved.stoppingCriteria.some((stops) => stops(history, text.all))
        ? 'stop'
        : history.length - prompt.length >= limit
          ? 'length'
          : undefined;
    yield {
      type: 'text',
      text: finishReason === undefined ? piece : piece + text.flush(),
      ids: [id],
      ...(logprob && { logprobs: [logprob] }),
    };
  }
  const ids = history.slice(prompt.length);
  yield {
    type: 'finish',
    text: text.all,
    ids,
    finishReason,
    usage: { promptTokens: prompt.length, newTokens: ids.length },
    stats: watch.stats(resolved.seed),
    ...(request.returnLogits ? { logits: kept } : {}),
    ...(logprobOf && { logprobs }),
  };
}

/** Tells a chosen token's log probability, if anybody wants to know. */
function logprobTeller({ tokenizer }: GenerationSession, { topLogprobs }: ResolvedGeneration) {
  if (topLogprobs === undefined) return undefined;
  const tokens = tokenizer && new TokenBytes(tokenizer);
  const textOf = (id: number) => tokens?.text(id) ?? '';
  return (logits: Float32Array, id: number) => chosenLogprob(logits, id, topLogprobs, textOf);
}

/** Text of the tokens so far: decoded as it becomes final, cut at the first stop string. */
class Output {
  readonly #decoder: TextStream | null;
  readonly #stops: StopStrings;
  all = '';

  constructor({ tokenizer }: GenerationSession, prompt: readonly number[], stop: readonly string[]) {
    this.#decoder = tokenizer && new TextStream(tokenizer, { promptIds: prompt, skipSpecialTokens: true });
    this.#stops = new StopStrings(stop);
  }

  get stopped(): boolean {
    return this.#stops.matched !== null;
  }

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
