import { setImmediate } from 'node:timers/promises';
import { StateError } from '@airllm/kernels';
import type { Engine, Sequence } from '../../engine';
import { continuationRows } from '../continuation';
import { type Choose, type Draft, type Drafter, type DraftRequest, type DraftSession, NO_DRAFT } from './drafter';

/** The model that drafts, and the one it drafts for. */
export interface ModelDrafterOptions {
  readonly name: 'model' | 'self';
  /** Runs the smaller model, all of it in memory. */
  readonly engine: Engine;
  /** Tokens that the model knows which is drafted for. */
  readonly vocabSize: number;
  /** Gives back the engine and what it works with. */
  readonly dispose: () => Promise<void>;
}

/** Weights that a busy machine of few cores computes one token with in a second. */
const ASSUMED_BYTES_PER_SECOND = 5e9;

/** Lets a smaller model of the same vocabulary guess (speculative decoding, Leviathan et al. 2023, Chen et al. 2023). */
export class ModelDrafter implements Drafter {
  readonly name: 'model' | 'self';
  readonly costly = true;
  readonly assumedSeconds: number;
  readonly #options: ModelDrafterOptions;

  constructor(options: ModelDrafterOptions) {
    this.name = options.name;
    this.assumedSeconds = options.engine.plan.bytes.weights / ASSUMED_BYTES_PER_SECOND;
    this.#options = options;
  }

  open(maxLength: number): DraftSession {
    const { engine, vocabSize } = this.#options;
    return new ModelSession(engine, Math.min(maxLength, engine.model.config.maxPositions), vocabSize);
  }

  dispose(): Promise<void> {
    return this.#options.dispose();
  }
}

class ModelSession implements DraftSession {
  readonly #engine: Engine;
  readonly #maxLength: number;
  readonly #vocabSize: number;
  readonly #ended = new AbortController();
  /** Undefined until there is memory for it, which other texts may hold. */
  #sequence: Sequence | undefined;
  readonly #opened: Promise<void>;
  #drafting: Promise<unknown> = Promise.resolve();
  /** Tokens that the sequence has run. */
  #run: number[] = [];

  constructor(engine: Engine, maxLength: number, vocabSize: number) {
    this.#engine = engine;
    this.#maxLength = maxLength;
    this.#vocabSize = vocabSize;
    this.#opened = this.#open();
    // Whoever drafts meets the error.
    this.#opened.catch(() => {});
  }

  draft(request: DraftRequest): Promise<Draft> {
    const draft = this.#draft(request);
    this.#drafting = draft.catch(() => {});
    return draft;
  }

  dispose(): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    const last = Promise.allSettled([this.#opened, this.#drafting]);
    void last.then(() => this.#sequence?.dispose());
  }

  async #open(): Promise<void> {
    this.#sequence = await this.#engine.openSequence(this.#maxLength, { signal: this.#ended.signal });
  }

  async #draft({ ids, most, choose }: DraftRequest): Promise<Draft> {
    if (this.#sequence === undefined) {
      // Nobody is kept waiting for a guess; but where there is memory, it is there at once.
      await Promise.race([this.#opened, setImmediate()]);
      if (this.#sequence === undefined) return NO_DRAFT;
    }
    this.#takeBack(this.#sequence, ids);
    const text = [...ids];
    let secondsPerToken: number | undefined;
    while (text.length < ids.length + most && this.#knows(text)) {
      const start = performance.now();
      const id = await this.#next(this.#sequence, text, choose);
      // The first one also runs what was not drafted, which may be a whole prompt.
      if (text.length > ids.length) secondsPerToken = (performance.now() - start) / 1000;
      if (id === undefined) break;
      text.push(id);
    }
    return { ids: text.slice(ids.length), trust: 0, secondsPerToken };
  }

  async #next(sequence: Sequence, text: readonly number[], choose: Choose): Promise<number | undefined> {
    const rows = continuationRows(sequence, text, this.#engine.model.config);
    const [logits] = await this.#engine.step(rows, { signal: this.#ended.signal });
    this.#run = [...text];
    try {
      return choose(fitted(logits!, this.#vocabSize), text);
    } catch {
      // What the text may say and what this model would say may have nothing in common; and what the caller's own
      // processors think of a text that may never come is nobody's error.
      return undefined;
    }
  }

  /** Forgets what was guessed wrong; one token at least is run again, for the logits after it. */
  #takeBack(sequence: Sequence, ids: readonly number[]): void {
    const wrong = this.#run.findIndex((id, at) => id !== ids[at]);
    const right = wrong < 0 ? this.#run.length : wrong;
    backTo(sequence, Math.min(right, ids.length - 1));
    this.#run.length = sequence.length;
  }

  /** Vocabularies may be padded differently; and the text may hold tokens that only the other model has. */
  #knows(text: readonly number[]): boolean {
    const { vocabSize } = this.#engine.model.config;
    return text.length <= this.#maxLength && text.slice(this.#run.length).every((id) => id < vocabSize);
  }
}

/** Takes rows back, all of them where windows have passed by what the rest would see. */
function backTo(sequence: Sequence, length: number): void {
  try {
    sequence.truncate(length);
  } catch (error) {
    if (!StateError.isInstance(error)) throw error;
    sequence.truncate(0);
  }
}

/** Logits for a vocabulary of another size, which is so by padding alone. */
function fitted(logits: Float32Array, vocabSize: number): Float32Array {
  if (logits.length >= vocabSize) return logits.subarray(0, vocabSize);
  const padded = new Float32Array(vocabSize).fill(Number.NEGATIVE_INFINITY);
  padded.set(logits);
  return padded;
}
