import { AirllmError, isMarked, mark } from '@airllm/loader';

/** A batch's output cannot be written. Answers that were written are kept; the batch can go on where it stopped. */
export class AnswerFileError extends AirllmError {
  readonly file: string;

  constructor({ file, cause }: { file: string; cause: unknown }) {
    const { code } = cause as NodeJS.ErrnoException;
    const hint = code === 'ENOSPC' ? '; make room and run it again: what was answered is kept' : '';
    super('ERR_ANSWER_FILE', `${file}: cannot be written: ${(cause as Error).message}${hint}`, { cause });
    mark(this, 'AnswerFileError');
    this.file = file;
  }

  static override isInstance(error: unknown): error is AnswerFileError {
    return isMarked(error, 'AnswerFileError');
  }
}
