import { randomUUID } from 'node:crypto';
import type { AnswerFacts } from './endpoint';
import type { LineProblem } from './errors';

/** Why a line has no completion. */
export interface BatchAnswerError {
  /** Such as `invalid_json`, `duplicate_custom_id`, `invalid_request`, `context_length_exceeded`. */
  readonly code: string;
  readonly message: string;
  /** The field of the body that is meant. */
  readonly param: string | null;
  /** Of the input, from 1. */
  readonly line: number;
}

/** A line of a batch's output, as in OpenAI's Batch API. */
export interface BatchAnswer {
  readonly id: string;
  /** Null for a line that has none. */
  readonly custom_id: string | null;
  /** A `chat.completion` or `text_completion` with status 200, an `error` with 400; null for a line that is no request. */
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: Readonly<Record<string, unknown>>;
  } | null;
  readonly error: BatchAnswerError | null;
}

/** The answer to a line that was completed. */
export function answerOf(
  { customId, model }: { customId: string; model: string },
  bodyOf: (facts: AnswerFacts) => Readonly<Record<string, unknown>>,
): BatchAnswer {
  const id = unique();
  const created = Math.floor(Date.now() / 1000);
  return {
    id: `batch_req_${id}`,
    custom_id: customId,
    response: { status_code: 200, request_id: `req_${id}`, body: bodyOf({ id, created, model }) },
    error: null,
  };
}

/** The answer to a line that cannot be completed: what OpenAI's service says to such a body, and the line's number. */
export function refusalOf(
  customId: string | null,
  line: number,
  { code, message, param, isRequest }: LineProblem,
): BatchAnswer {
  const id = unique();
  const body = { error: { message, type: 'invalid_request_error', param, code } };
  return {
    id: `batch_req_${id}`,
    custom_id: customId,
    response: isRequest ? { status_code: 400, request_id: `req_${id}`, body } : null,
    error: { code, message, param, line },
  };
}

function unique(): string {
  return randomUUID().replaceAll('-', '');
}
