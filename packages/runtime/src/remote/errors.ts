import { AirllmError, isMarked, mark } from '@airllm/loader';

/** A file that was computed with while it arrived turned out to be damaged on its way; it was then fetched anew. */
export class StaleWeightsError extends AirllmError {
  readonly repo: string;
  readonly file: string;

  constructor(repo: string, file: string) {
    super(
      'ERR_STALE_WEIGHTS',
      `${repo}: ${file} came damaged, after it had been computed with, and was thrown away; open the model again: what is right of the download is kept`,
    );
    mark(this, 'StaleWeightsError');
    this.repo = repo;
    this.file = file;
  }

  static override isInstance(error: unknown): error is StaleWeightsError {
    return isMarked(error, 'StaleWeightsError');
  }
}
