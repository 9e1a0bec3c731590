import { OptionError } from '@airllm/loader';
import type { Sequence } from '../engine';
import { onAbort } from '../on-abort';
import { Generation } from './generation';
import { type ResolvedGeneration, resolveGeneration } from './options';
import { newTokenLimit, promptIds } from './prompt';
import type { PromptCaches } from './prompt-cache/prompt-caches';
import type { GenerationSession } from './session';
import { speculate } from './speculate/speculation';
import { Stopwatch } from './stopwatch';
import type { GenerateRequest } from './types';

/** A request whose options and prompt were found good. */
export interface PreparedRequest {
  readonly request: GenerateRequest;
  readonly resolved: ResolvedGeneration;
  readonly prompt: readonly number[];
  /** Tokens that may be generated. */
  readonly limit: number;
  readonly watch: Stopwatch;
}

/** Throws the signal's reason, `OptionError`, `ContextLengthError`, `MissingTokenizerError`, `ChatTemplateError`. */
export function prepareRequest(session: GenerationSession, request: GenerateRequest): PreparedRequest {
  request.signal?.throwIfAborted();
  const prompt = promptIds(request, session);
  const { vocabSize } = session.engine.model.config;
  const resolved = resolveGeneration(request, session.defaults, { vocabSize, promptLength: prompt.length });
  const limit = newTokenLimit(prompt.length, session.contextLength, resolved);
  return { request, resolved, prompt, limit, watch: new Stopwatch(session.engine) };
}

/**
 * A sequence with room for all of it, as soon as there is memory for that, as far along the prompt as a prompt cache has
 * it. Throws `PromptCacheError`.
 */
export async function openSequenceFor(session: GenerationSession, prepared: PreparedRequest): Promise<Sequence> {
  const { prompt, limit, request } = prepared;
  const sequence = await session.engine.openSequence(prompt.length + limit, { signal: request.signal });
  try {
    if (request.promptCache !== undefined) await promptCachesOf(session).restore(request.promptCache, sequence, prompt);
    request.signal?.throwIfAborted();
    return sequence;
  } catch (error) {
    sequence.dispose();
    throw error;
  }
}

function promptCachesOf({ promptCaches }: GenerationSession): PromptCaches {
  if (promptCaches !== undefined) return promptCaches;
  const expected = 'a session with promptCaches, as AutoModel makes it';
  throw new OptionError({ option: 'promptCache', expected, found: 'one without' });
}

export interface StartOptions {
  readonly sequence: Sequence;
  /** Of this text, where several are generated from one request. */
  readonly seed?: number;
  /** Told the logits of the prompt's last token, before a token is chosen from them. */
  readonly onPrompt?: ((logits: Float32Array) => void) | undefined;
}

export function openGeneration(
  session: GenerationSession,
  { request, resolved, ...prepared }: PreparedRequest,
  { sequence, seed = resolved.seed, onPrompt }: StartOptions,
): Generation {
  const { tokenizer, endTokens, engine, speculator } = session;
  const { sampling } = resolved;
  return new Generation({
    tokenizer,
    endTokens,
    ropeSwitchLength: engine.model.config.ropeSwitchLength,
    ...prepared,
    resolved: { ...resolved, seed },
    returnLogits: request.returnLogits ?? false,
    sequence,
    cachedTokens: request.promptCache === undefined ? undefined : session.promptCaches?.reused(sequence),
    onPrompt,
    drafter: speculator && speculate(speculator, prepared.prompt.length + prepared.limit, sampling),
  });
}

/**
 * Runs a generation with all others of the model; it is given up when the signal is aborted. Resolves when it has left,
 * and its prompt cache is saved.
 */
export async function runGeneration(
  session: GenerationSession,
  generation: Generation,
  signal: AbortSignal | undefined,
): Promise<void> {
  const stop = onAbort(signal, () => generation.cancel(signal!.reason));
  await session.scheduler.run(generation);
  stop();
  await session.promptCaches?.save(generation);
}
