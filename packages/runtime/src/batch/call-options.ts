import type { ResponseFormat } from '../generate/structured/response-format';
import type { GenerateOptions } from '../generate/types';
import { isJsonObject } from '../text/json-file';
import type { Body } from './body';
import { badField } from './errors';

/** Fields that chat completions and completions have in common, and a few of the model's own that other servers know too. */
export function callOptions(body: Body): GenerateOptions {
  body.ignore('model', 'user', 'metadata', 'store', 'service_tier', 'safety_identifier');
  // These say how an answer may come sooner.
  body.ignore('prompt_cache_key', 'prompt_cache_retention', 'prediction');
  body.only('stream', false);
  body.only('stream_options');
  const options: GenerateOptions = {
    temperature: body.number('temperature', 0, 2),
    topP: leastAbove0(body.number('top_p', 0, 1)),
    topK: body.whole('top_k', 0),
    minP: body.number('min_p', 0, 1),
    repetitionPenalty: body.number('repetition_penalty', 0, 100),
    frequencyPenalty: body.number('frequency_penalty', -2, 2),
    presencePenalty: body.number('presence_penalty', -2, 2),
    seed: seedOf(body),
    stop: body.strings('stop'),
    ignoreEos: body.boolean('ignore_eos'),
    logitBias: logitBias(body),
    numReturnSequences: textCount(body),
    responseFormat: responseFormatOf(body),
  };
  // What is not said is left to the defaults.
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Of no probability at all, the most likely token is left. */
function leastAbove0(topP: number | undefined): number | undefined {
  return topP === undefined ? undefined : Math.max(topP, Number.MIN_VALUE);
}

/** OpenAI's seeds may be negative. */
function seedOf(body: Body): number | undefined {
  const seed = body.whole('seed', Number.MIN_SAFE_INTEGER);
  return seed === undefined || seed >= 0 ? seed : 2 ** 53 + seed;
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

function textCount(body: Body): number | undefined {
  const count = body.whole('n', 1, 128);
  return count === 1 ? undefined : count;
}

function logitBias(body: Body): ReadonlyMap<number, number> | undefined {
  const given = body.object('logit_bias');
  if (given === undefined) return undefined;
  return new Map(
    Object.entries(given).map(([id, bias]) => {
      if (!/^\d+$/.test(id)) throw badField('logit_bias', 'token ids as keys', id);
      if (typeof bias === 'number' && bias >= -100 && bias <= 100) return [Number(id), bias] as const;
      throw badField('logit_bias', 'numbers from -100 to 100', bias);
    }),
  );
}
