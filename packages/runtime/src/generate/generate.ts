import { OptionError } from '@airllm/loader';
import { generateSequences, resultOf } from './return-sequences';
import type { GenerationSession } from './session';
import { openGeneration, openSequenceFor, prepareRequest, runGeneration } from './start';
import { constrained } from './structured/constrained';
import type { GenerateRequest, GenerateResult, StreamEvent } from './types';

/** Why a generation was given up whose reader left; nobody is told. */
const LEFT = new Error('nobody reads this any more');

/**
 * Generates token by token, in the same passes as whatever else the model generates. Leaving the loop ends the work;
 * aborting the request's signal rejects with its reason. Throws `OptionError`, `ContextLengthError`,
 * `MissingTokenizerError`, `ChatTemplateError`, and what reading weights throws.
 */
export async function* stream(session: GenerationSession, request: GenerateRequest): AsyncGenerator<StreamEvent, void> {
  if ((request.numReturnSequences ?? 1) !== 1) {
    const expected = '1 for a stream; generate returns several';
    throw new OptionError({ option: 'numReturnSequences', expected, found: request.numReturnSequences });
  }
  const prepared = await constrained(session, prepareRequest(session, request));
  const sequence = await openSequenceFor(session, prepared).catch((error: unknown) => {
    prepared.release();
    throw error;
  });
  const generation = openGeneration(session, prepared, { sequence });
  void runGeneration(session, generation, request.signal).then(() => {
    sequence.dispose();
    prepared.release();
  });
  try {
    for await (const event of generation.events) yield event;
  } finally {
    generation.cancel(LEFT);
  }
}

/** Generates to the end, `numReturnSequences` times from one prompt; see {@link stream}. */
export async function generate(session: GenerationSession, request: GenerateRequest): Promise<GenerateResult> {
  return resultOf(request, await generateSequences(session, request));
}
