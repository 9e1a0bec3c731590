import type { ChosenLogprob, TokenLogprob } from '../generate/logprobs';
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
  body.only('modalities', ['text']);
  body.only('audio');
  body.only('verbosity', 'medium');
  body.end();
  const request: GenerateRequest = {
    messages,
    ...options,
    ...(maxNewTokens === undefined ? {} : { maxNewTokens }),
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
    ...(chat === undefined ? {} : { chat }),
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
    if (!isJsonObject(message) || typeof message.role !== 'string') {
      throw badField(`messages[${i}]`, 'an object with a role', message);
    }
    const { content } = message;
    const text = Array.isArray(content) ? { content: textOfParts(content, `messages[${i}].content`) } : {};
    return { ...message, ...text } as unknown as ChatMessage;
  });
}

/** Templates of models for text know one string; parts of it become lines. */
function textOfParts(parts: readonly unknown[], field: string): string {
  const texts = parts.map((part, i) => {
    if (isJsonObject(part) && part.type === 'text' && typeof part.text === 'string') return part.text;
    throw badField(`${field}[${i}]`, 'a part of type text', part);
  });
  return texts.join('\n');
}

function logprobCount(body: Body): number | undefined {
  const wanted = body.boolean('logprobs') ?? false;
  const count = body.whole('top_logprobs', 0, 20);
  if (count !== undefined && !wanted) throw badField('top_logprobs', 'logprobs: true beside it', count);
  return wanted ? (count ?? 0) : undefined;
}

/** Tools go to the template; `chat_template_kwargs` and `continue_final_message` are vLLM's. */
function chatOptions(body: Body): GenerateRequest['chat'] | undefined {
  const tools = body.list('tools');
  const variables = body.object('chat_template_kwargs');
  const noTools = body.get('tool_choice') === 'none';
  body.only('tool_choice', 'auto', 'none');
  body.only('functions');
  body.only('function_call', 'none');
  body.ignore('parallel_tool_calls');
  const effort = body.get('reasoning_effort');
  const continueFinalMessage = body.boolean('continue_final_message');
  const chat = {
    tools: noTools ? undefined : tools,
    continueFinalMessage,
    variables: effort === undefined ? variables : { reasoning_effort: effort, ...variables },
  };
  const given = Object.entries(chat).filter(([, value]) => value !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given);
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
