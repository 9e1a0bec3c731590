import { AirllmError, isMarked, mark } from '@airllm/loader';

/** Bans, biases, processors or a grammar leave no token to go on with. */
export class NoCandidateError extends AirllmError {
  /** Tokens of the sequence so far, prompt included. */
  readonly position: number;

  constructor(position: number) {
    super(
      'ERR_NO_CANDIDATE',
      `every token is ruled out at position ${position}: logitBias, bannedTokens, badWordsIds, logitsProcessor and ` +
        'responseFormat together must leave one with a score above -Infinity',
    );
    mark(this, 'NoCandidateError');
    this.position = position;
  }

  static override isInstance(error: unknown): error is NoCandidateError {
    return isMarked(error, 'NoCandidateError');
  }
}

/** The model's scores are not numbers (NaN): broken weights, numbers past a dtype's range, or a logits processor. */
export class InvalidLogitsError extends AirllmError {
  /** Tokens of the sequence so far, prompt included. */
  readonly position: number;

  constructor(position: number) {
    super(
      'ERR_LOGITS',
      `no score is a number at position ${position}: a logitsProcessor made them so, or the weights are broken ` +
        '(compare their checksums, or airllm verify) or were made for wider numbers than they are stored in',
    );
    mark(this, 'InvalidLogitsError');
    this.position = position;
  }

  static override isInstance(error: unknown): error is InvalidLogitsError {
    return isMarked(error, 'InvalidLogitsError');
  }
}
