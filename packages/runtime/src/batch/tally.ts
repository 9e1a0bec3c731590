import type { GenerateResult } from '../generate/types';
import { textsOf } from './endpoint';
import type { BatchProgress } from './types';

/** Counts what becomes of a batch's lines. */
export class Tally {
  readonly #start = performance.now();
  #taken = 0;
  #answered = 0;
  #failed = 0;
  #skipped = 0;
  #bytesDone = 0;
  #bytesSkipped = 0;
  #promptTokens = 0;
  #newTokens = 0;

  get progress(): BatchProgress {
    return {
      answered: this.#answered,
      failed: this.#failed,
      skipped: this.#skipped,
      active: this.#taken - this.#answered,
      bytesDone: this.#bytesDone,
      bytesSkipped: this.#bytesSkipped,
      promptTokens: this.#promptTokens,
      newTokens: this.#newTokens,
      seconds: (performance.now() - this.#start) / 1000,
    };
  }

  /** A line is worked on. */
  taken(): void {
    this.#taken++;
  }

  /** A line is worked on no more. */
  done(bytes: number): void {
    this.#answered++;
    this.#bytesDone += bytes;
  }

  failed(): void {
    this.#failed++;
  }

  /** Nothing is to be done for a line: it was answered before, or is blank. */
  skip(bytes: number, answered: boolean): void {
    if (answered) this.#skipped++;
    this.#bytesDone += bytes;
    this.#bytesSkipped += bytes;
  }

  generated(result: GenerateResult): void {
    this.#promptTokens += result.usage.promptTokens;
    for (const { usage } of textsOf(result)) this.#newTokens += usage.newTokens;
  }
}
