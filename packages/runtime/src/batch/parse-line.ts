import type { TokenBytes } from '../text';
import { isJsonObject, type JsonObject } from '../text/json-file';
import { Body } from './body';
import { chatCompletions } from './chat-completions';
import { completions } from './completions';
import type { Call, Endpoint } from './endpoint';
import { LineProblem, problemOf } from './errors';
import { MOST_LINE_BYTES } from './split-lines';

/** Paths of the API that a line may name. */
const endpoints: Readonly<Record<string, Endpoint>> = {
  '/v1/chat/completions': chatCompletions,
  '/v1/completions': completions,
};

/** A line of a batch's input, judged. */
export type ParsedLine =
  | { readonly customId: string; readonly call: Call }
  | { readonly customId: string | null; readonly problem: LineProblem };

/** Never throws what is the line's fault. `undefined` for a blank line, which asks for nothing. */
export function parseLine(line: string | Uint8Array, tokens: TokenBytes | null): ParsedLine | undefined {
  let customId: string | null = null;
  try {
    const text = decode(line);
    if (text.trim() === '') return undefined;
    const fields = parseJson(text);
    if (typeof fields.custom_id === 'string' && fields.custom_id !== '') customId = fields.custom_id;
    else throw new LineProblem('missing_custom_id', 'custom_id: expected a string that is not empty', 'custom_id');
    return { customId, call: callOf(fields, tokens) };
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) throw error;
    return { customId, problem };
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A byte order mark at the start of a file is no part of it. */
function decode(line: string | Uint8Array): string {
  if (typeof line === 'string') return line.replace(/^\uFEFF/, '');
  if (line.byteLength > MOST_LINE_BYTES) {
    throw new LineProblem('line_too_long', `the line is longer than ${MOST_LINE_BYTES} bytes`);
  }
  try {
    return utf8.decode(line);
  } catch {
    throw new LineProblem('invalid_utf8', 'the line is not valid UTF-8');
  }
}

function parseJson(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new LineProblem('invalid_json', `the line is not valid JSON: ${(error as Error).message}`);
  }
  if (isJsonObject(value)) return value;
  throw new LineProblem('invalid_json', 'the line is not a JSON object');
}

function callOf({ method, url, body }: JsonObject, tokens: TokenBytes | null): Call {
  if (method !== undefined && method !== 'POST') {
    throw new LineProblem('invalid_method', `method: expected "POST", found ${JSON.stringify(method)}`, 'method');
  }
  const endpoint = typeof url === 'string' && Object.hasOwn(endpoints, url) ? endpoints[url] : undefined;
  if (endpoint === undefined) {
    const known = Object.keys(endpoints).join(' or ');
    throw new LineProblem('invalid_url', `url: expected ${known}, found ${JSON.stringify(url) ?? 'nothing'}`, 'url');
  }
  if (!isJsonObject(body)) throw new LineProblem('invalid_request', 'body: expected an object', 'body');
  return endpoint(new Body(body), tokens);
}
