import { OptionError } from '@airllm/loader';
import type { Sequence } from '../engine';
import type { Generation } from './generation';
import { generateSequences, resultOf } from './return-sequences';
import type { GenerationSession } from './session';
import { openGeneration, openSequenceFor, type PreparedRequest, prepareRequest, runGeneration } from './start';
import { type Constrained, constrained } from './structured/constrained';
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
  const generation = await begin(session, prepared);
  try {
    for await (const event of generation.events) yield event;
  } finally {
    generation.cancel(LEFT);
  }
}

/** Starts a generation that gives back what it works with when it has left. */
async function begin(session: GenerationSession, prepared: Constrained<PreparedRequest>): Promise<Generation> {
  let sequence: Sequence | undefined;
  const giveBack = () => {
    sequence?.dispose();
    prepared.release();
  };
  try {
    sequence = await openSequenceFor(session, prepared);
    const generation = openGeneration(session, prepared, { sequence });
    void runGeneration(session, generation, prepared.request.signal).then(giveBack);
    return generation;
  } catch (error) {
    giveBack();
    throw error;
  }
}

/** Generates to the end, `numReturnSequences` times from one prompt; see {@link stream}. */
export async function generate(session: GenerationSession, request: GenerateRequest): Promise<GenerateResult> {
  return resultOf(request, await generateSequences(session, request));
}
