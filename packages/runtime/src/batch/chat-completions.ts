import type { ChosenLogprob, TokenLogprob } from '../generate/logprobs';
import type { ResponseFormat } from '../generate/structured/response-format';
import type { GenerateRequest, GenerateResult } from '../generate/types';
import type { ChatMessage, TokenBytes } from '../text';
import { isJsonObject } from '../text/json-file';
import type { Body } from './body';
import { callOptions } from './call-options';
import { type Call, type Endpoint, finishReason, textsOf, usageOf } from './endpoint';
import { badField, LineProblem } from './errors';

/** `POST /v1/chat/completions`. The answer is the text as the model wrote it: calls of tools are not taken out of it. */
export const chatCompletions: Endpoint = (body, tokens): Call => {
  const messages = chatMessages(body);
  const options = callOptions(body);
  const maxNewTokens = body.whole('max_completion_tokens', 1) ?? body.whole('max_tokens', 1);
  body.ignore('max_tokens');
  const topLogprobs = logprobCount(body);
  const chat = chatOptions(body);
  const responseFormat = responseFormatOf(body);
  body.only('modalities');
  body.only('audio');
  body.end();
  const request: GenerateRequest = {
    messages,
    ...options,
    ...(maxNewTokens === undefined ? {} : { maxNewTokens }),
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
    ...(chat === undefined ? {} : { chat }),
    ...(responseFormat === undefined ? {} : { responseFormat }),
  };
  return {
    requests: [request],
    answer: (results, { id, created, model }) => ({
      id: `chatcmpl-${id}`,
      object: 'chat.completion',
      created,
      model,
      choices: results.flatMap(textsOf).map((result, index) => ({
        index,
        message: { role: 'assistant', content: result.text, refusal: null },
        logprobs: logprobsOf(result, tokens),
        finish_reason: finishReason(result),
      })),
      usage: usageOf(results),
      system_fingerprint: null,
    }),
  };
};

function chatMessages(body: Body): readonly ChatMessage[] {
  const messages = body.list('messages');
  if (messages === undefined || messages.length === 0) {
    throw new LineProblem('invalid_request', 'messages: expected a list of at least one message', 'messages');
  }
  return messages.map((message, i) => {
    if (isJsonObject(message) && typeof message.role === 'string') return message as unknown as ChatMessage;
    throw badField(`messages[${i}]`, 'an object with a role', message);
  });
}

/** OpenAI's form of it, with the schema one level further down. */
function responseFormatOf(body: Body): ResponseFormat | undefined {
  const format = body.object('response_format');
  switch (format?.type) {
    case undefined:
      if (format === undefined) return undefined;
      break;
    case 'text':
    case 'json_object':
      return { type: format.type };
    case 'json_schema': {
      const { json_schema: named } = format;
      if (isJsonObject(named) && isJsonObject(named.schema)) return { type: 'json_schema', schema: named.schema };
      throw badField('response_format.json_schema', 'an object with a schema', named);
    }
  }
  throw badField('response_format', 'type text, json_object or json_schema', format);
}

function logprobCount(body: Body): number | undefined {
  const wanted = body.boolean('logprobs') ?? false;
  const count = body.whole('top_logprobs', 0, 20);
  if (count !== undefined && !wanted) throw badField('top_logprobs', 'logprobs: true beside it', count);
  return wanted ? (count ?? 0) : undefined;
}

/** Tools go to the template; `chat_template_kwargs` is vLLM's name for its variables. */
function chatOptions(body: Body): GenerateRequest['chat'] | undefined {
  const tools = body.list('tools');
  const variables = body.object('chat_template_kwargs');
  body.only('tool_choice', 'auto', 'none');
  body.only('functions');
  body.only('function_call');
  body.ignore('parallel_tool_calls');
  const effort = body.get('reasoning_effort');
  if (tools === undefined && variables === undefined && effort === undefined) return undefined;
  return {
    ...(tools === undefined ? {} : { tools }),
    variables: { ...(effort === undefined ? {} : { reasoning_effort: effort }), ...variables },
  };
}

function logprobsOf({ logprobs }: GenerateResult, tokens: TokenBytes | null) {
  if (logprobs === undefined) return null;
  const told = ({ id, token, logprob }: TokenLogprob) => ({
    token,
    logprob,
    bytes: tokens === null ? null : [...tokens.bytes(id)],
  });
  return {
    content: logprobs.map((chosen: ChosenLogprob) => ({ ...told(chosen), top_logprobs: chosen.top.map(told) })),
    refusal: null,
  };
}
