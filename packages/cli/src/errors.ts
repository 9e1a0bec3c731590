import { AirllmError, isMarked, mark } from '@airllm/loader';
import { EXIT, type ExitCode } from './exit-codes';

/** The command line makes no sense. */
export class UsageError extends AirllmError {
  /** What was probably meant. */
  readonly suggestion: string | undefined;

  constructor(message: string, suggestion?: string) {
    super('ERR_USAGE', suggestion === undefined ? message : `${message}; did you mean ${suggestion}?`);
    mark(this, 'UsageError');
    this.suggestion = suggestion;
  }

  static override isInstance(error: unknown): error is UsageError {
    return isMarked(error, 'UsageError');
  }
}

/** The person, the system or the reader of the output wants the program to end; nothing is said about it. */
export class StoppedError extends AirllmError {
  readonly exitCode: ExitCode;

  constructor(cause: 'SIGINT' | 'SIGTERM' | 'EPIPE') {
    super('ERR_STOPPED', `stopped by ${cause}`);
    mark(this, 'StoppedError');
    this.exitCode = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated, EPIPE: EXIT.brokenPipe }[cause];
  }

  static override isInstance(error: unknown): error is StoppedError {
    return isMarked(error, 'StoppedError');
  }
}
