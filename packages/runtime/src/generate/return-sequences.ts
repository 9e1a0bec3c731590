import { StateError } from '@airllm/kernels';
import { OptionError } from '@airllm/loader';
import type { Sequence } from '../engine';
import type { Generation } from './generation';
import type { GenerationSession } from './session';
import { openGeneration, openSequenceFor, type PreparedRequest, prepareRequest, runGeneration } from './start';
import { constrained } from './structured/constrained';
import type { GenerateRequest, GenerateResult } from './types';

/**
 * Generates `numReturnSequences` texts with the seeds `seed`, `seed + 1`, … The prompt is run once: its states are copied
 * for as many texts as there is memory for, and the rest take over the states of texts that have ended. `onAdmitted` is
 * told when the first has its memory. Rejects with the first error; the other texts are then given up.
 */
export async function generateSequences(
  session: GenerationSession,
  request: GenerateRequest,
  onAdmitted: () => void = () => {},
): Promise<readonly GenerateResult[]> {
  const valid = prepareRequest(session, request);
  const count = checkedCount(request, valid);
  const prepared = await constrained(session, valid);
  try {
    const sequence = await openSequenceFor(session, prepared);
    onAdmitted();
    const siblings = new Siblings(session, prepared, count);
    await siblings.run(sequence);
    return siblings.results;
  } finally {
    prepared.release();
  }
}

/** What `generate` makes of the texts. */
export function resultOf(request: GenerateRequest, texts: readonly GenerateResult[]): GenerateResult {
  return request.numReturnSequences === undefined ? texts[0]! : { ...texts[0]!, sequences: texts };
}

function checkedCount({ numReturnSequences: count = 1 }: GenerateRequest, { resolved }: PreparedRequest): number {
  const option = 'numReturnSequences';
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new OptionError({ option, expected: 'a whole number of at least 1', found: count });
  }
  if (count > 1 && resolved.sampling.method === 'greedy') {
    throw new OptionError({
      option,
      expected: '1 where tokens are not drawn: all texts would be the same',
      found: count,
    });
  }
  return count;
}

/** Texts of one prompt. */
class Siblings {
  readonly results: GenerateResult[] = [];
  readonly #session: GenerationSession;
  readonly #prepared: PreparedRequest;
  readonly #count: number;
  readonly #running = new Set<Generation>();
  readonly #copies: Promise<void>[] = [];
  /** The next text that nobody has begun. */
  #next = 0;

  constructor(session: GenerationSession, prepared: PreparedRequest, count: number) {
    this.#session = session;
    this.#prepared = prepared;
    this.#count = count;
  }

  /** Generates all texts, the first in this sequence, and disposes it. */
  async run(sequence: Sequence): Promise<void> {
    await this.#runIn(sequence);
    // All copies were made when the prompt had been run.
    await Promise.all(this.#copies);
  }

  /** Generates texts in a sequence, one after the other, until all have been begun. `logits`: of the prompt, if it was run. */
  async #runIn(sequence: Sequence, logits?: Float32Array): Promise<void> {
    let left: Promise<void> | undefined;
    try {
      while (this.#next < this.#count) {
        const text = this.#next++;
        if (left !== undefined) backToPrompt(sequence, this.#prepared.prompt.length);
        const generation = this.#open(text, sequence);
        if (logits !== undefined && left === undefined) takePrompt(generation, logits);
        left = runGeneration(this.#session, generation, this.#prepared.request.signal);
        this.results[text] = await this.#result(generation);
        await left;
      }
    } catch (error) {
      this.#next = this.#count;
      for (const generation of this.#running) generation.cancel(error);
      throw error;
    } finally {
      void Promise.resolve(left).then(() => sequence.dispose());
    }
  }

  #open(text: number, sequence: Sequence): Generation {
    const seed = this.#prepared.resolved.seed + text;
    const onPrompt = text === 0 ? (logits: Float32Array) => this.#copy(sequence, logits) : undefined;
    return openGeneration(this.#session, this.#prepared, { sequence, seed, onPrompt });
  }

  /** Begins further texts in copies of a sequence that has just run the prompt. */
  #copy(sequence: Sequence, logits: Float32Array): void {
    const { prompt, limit } = this.#prepared;
    while (this.#next < this.#count) {
      const copy = this.#session.engine.forkSequence(sequence, prompt.length + limit);
      if (copy === null) return;
      const texts = this.#runIn(copy, logits);
      // Whoever waits meets the error; until then it must not count as unhandled.
      texts.catch(() => {});
      this.#copies.push(texts);
    }
  }

  async #result(generation: Generation): Promise<GenerateResult> {
    this.#running.add(generation);
    try {
      for await (const event of generation.events) {
        if (event.type !== 'finish') continue;
        const { type: _, ...result } = event;
        return result;
      }
      throw new Error('a generation ends with its finish event');
    } finally {
      this.#running.delete(generation);
    }
  }
}

/** Lets a text begin with the logits of a prompt that was run for another one. */
function takePrompt(generation: Generation, logits: Float32Array): void {
  try {
    generation.take([logits]);
  } catch (error) {
    generation.fail(error);
    throw error;
  }
}

/** Makes a sequence one that has run all of the prompt but its last token, or nothing where windows have passed it by. */
function backToPrompt(sequence: Sequence, length: number): void {
  try {
    sequence.truncate(length - 1);
  } catch (error) {
    if (!StateError.isInstance(error)) throw error;
    sequence.truncate(0);
  }
}
