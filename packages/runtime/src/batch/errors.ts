import { OptionError } from '@airllm/loader';
import { ContextLengthError, MissingTokenizerError } from '../errors';
import { NoCandidateError } from '../generate/errors';
import { GrammarError } from '../generate/structured/errors';
import { ChatTemplateError, MissingChatTemplateError } from '../text';

/** What is wrong with a line; becomes its answer. */
export class LineProblem extends Error {
  readonly code: string;
  readonly param: string | null;

  constructor(code: string, message: string, param: string | null = null) {
    super(message);
    this.code = code;
    this.param = param;
  }

  /** It is the body that is at fault, not the line around it. */
  get isRequest(): boolean {
    return this.code === 'invalid_request' || this.code === 'context_length_exceeded';
  }
}

/** A field of a body is not as it should be. */
export function badField(param: string, expected: string, found: unknown): LineProblem {
  const text = JSON.stringify(found) ?? String(found);
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return new LineProblem('invalid_request', `${param}: expected ${expected}, found ${shown}`, param);
}

const FIELDS: Readonly<Record<string, string>> = {
  ids: 'prompt',
  maxNewTokens: 'max_tokens',
  numReturnSequences: 'n',
};

/** The field of a body that became an option. */
function fieldOf(option: string): string {
  return FIELDS[option] ?? option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A `custom_id` that an earlier line has. */
export const DUPLICATE = 'duplicate_custom_id';

export function duplicate(customId: string): LineProblem {
  return new LineProblem(DUPLICATE, `custom_id: ${JSON.stringify(customId)} occurs in an earlier line`, 'custom_id');
}

/** The problem behind an error, if the request is to blame; undefined where it is the model, the drive or the program. */
export function problemOf(error: unknown): LineProblem | undefined {
  if (error instanceof LineProblem) return error;
  if (ContextLengthError.isInstance(error)) return new LineProblem('context_length_exceeded', error.message);
  if (OptionError.isInstance(error)) return badField(fieldOf(error.option), error.expected, error.found);
  if (GrammarError.isInstance(error)) return new LineProblem('invalid_request', error.message, 'response_format');
  for (const kind of [ChatTemplateError, MissingChatTemplateError, MissingTokenizerError, NoCandidateError]) {
    if (kind.isInstance(error)) return new LineProblem('invalid_request', error.message);
  }
  return undefined;
}
