import { AirllmError, isMarked, mark } from '@airllm/loader';

/** A file that was computed with while it arrived turned out to be another than it seemed: damaged on its way, most likely. */
export class StaleWeightsError extends AirllmError {
  readonly repo: string;
  readonly file: string;

  constructor(
    repo: string,
    file: string,
    reason = 'came damaged, after it had been computed with, and was thrown away',
  ) {
    super(
      'ERR_STALE_WEIGHTS',
      `${repo}: ${file} ${reason}; open the model again: what is right of the download is kept`,
    );
    mark(this, 'StaleWeightsError');
    this.repo = repo;
    this.file = file;
  }

  static override isInstance(error: unknown): error is StaleWeightsError {
    return isMarked(error, 'StaleWeightsError');
  }
}
