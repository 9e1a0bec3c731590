import { AirllmError, isMarked, mark } from '@airllm/loader';

/** A JSON Schema or a grammar that cannot be followed. */
export class GrammarError extends AirllmError {
  readonly reason: string;

  constructor(reason: string, cause?: unknown) {
    super('ERR_GRAMMAR', `responseFormat: ${reason}`, { cause });
    mark(this, 'GrammarError');
    this.reason = reason;
  }

  static override isInstance(error: unknown): error is GrammarError {
    return isMarked(error, 'GrammarError');
  }
}

/** What follows schemas and grammars is an optional package, which is not installed or not the one that is known. */
export class GrammarLibraryError extends AirllmError {
  /** The package. */
  readonly library: string;

  constructor(facts: { library: string; reason: string; cause?: unknown }) {
    super('ERR_GRAMMAR_LIBRARY', `responseFormat needs ${facts.library}: ${facts.reason}`, { cause: facts.cause });
    mark(this, 'GrammarLibraryError');
    this.library = facts.library;
  }

  static override isInstance(error: unknown): error is GrammarLibraryError {
    return isMarked(error, 'GrammarLibraryError');
  }
}
