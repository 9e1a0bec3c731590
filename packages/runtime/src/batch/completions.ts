import type { GenerateRequest, GenerateResult, Prompt } from '../generate/types';
import type { TokenBytes } from '../text';
import type { Body } from './body';
import { callOptions } from './call-options';
import { type Call, type Endpoint, finishReason, textsOf, usageOf } from './endpoint';
import { badField } from './errors';

/** `POST /v1/completions`: one prompt or several, as text or token ids; the choices are numbered through. */
export const completions: Endpoint = (body, tokens): Call => {
  const prompts = promptsOf(body);
  const options = callOptions(body);
  const maxNewTokens = body.whole('max_tokens', 1);
  const topLogprobs = body.whole('logprobs', 0, 20);
  const echo = body.boolean('echo') ?? false;
  if (echo && topLogprobs !== undefined) {
    throw badField('echo', 'false beside logprobs, since those of prompts are not told', true);
  }
  body.only('suffix', '');
  body.only('best_of', 1, options.numReturnSequences ?? 1);
  body.end();
  const requests = prompts.map(
    (prompt): GenerateRequest => ({
      ...prompt,
      ...options,
      ...(maxNewTokens === undefined ? {} : { maxNewTokens }),
      ...(topLogprobs === undefined ? {} : { topLogprobs }),
    }),
  );
  return {
    requests,
    answer: (results, { id, created, model }) => ({
      id: `cmpl-${id}`,
      object: 'text_completion',
      created,
      model,
      choices: textsWithPrompts(results, echo ? prompts : []).map(({ prompt, result }, index) => ({
        index,
        text: `${prompt === undefined ? '' : textOf(prompt, tokens)}${result.text}`,
        logprobs: logprobsOf(result),
        finish_reason: finishReason(result),
      })),
      usage: usageOf(results),
      system_fingerprint: null,
    }),
  };
};

function promptsOf(body: Body): Prompt[] {
  const given = body.get('prompt');
  const isIds = (value: unknown): value is number[] =>
    Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id));
  if (isIds(given)) return [{ ids: given }];
  const list: readonly unknown[] = Array.isArray(given) && given.length > 0 ? given : [given];
  return list.map((prompt) => {
    if (typeof prompt === 'string') return { prompt };
    if (isIds(prompt)) return { ids: prompt };
    throw badField('prompt', 'a string, a list of token ids, or a list of these', given);
  });
}

function textsWithPrompts(results: readonly GenerateResult[], prompts: readonly Prompt[]) {
  return results.flatMap((each, i) => textsOf(each).map((result) => ({ result, prompt: prompts[i] })));
}

/** Of token ids what they spell; nothing for a model without tokenizer, whose answers have no text either. */
function textOf({ prompt, ids = [] }: Prompt, tokens: TokenBytes | null): string {
  if (prompt !== undefined) return prompt;
  return tokens === null ? '' : Buffer.concat(ids.map((id) => tokens.bytes(id))).toString();
}

function logprobsOf({ logprobs }: GenerateResult) {
  if (logprobs === undefined) return null;
  let offset = 0;
  const offsets = logprobs.map(({ token }) => {
    offset += token.length;
    return offset - token.length;
  });
  return {
    tokens: logprobs.map(({ token }) => token),
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: offsets,
  };
}
