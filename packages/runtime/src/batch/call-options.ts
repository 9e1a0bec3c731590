import type { GenerateOptions } from '../generate/types';
import type { Body } from './body';
import { badField } from './errors';

/** Fields that chat completions and completions have in common, and a few of the model's own that other servers know too. */
export function callOptions(body: Body): GenerateOptions {
  body.ignore('model', 'user', 'metadata', 'store', 'service_tier', 'safety_identifier', 'prompt_cache_key');
  body.only('stream', false);
  body.only('stream_options');
  body.only('frequency_penalty', 0);
  body.only('presence_penalty', 0);
  const options: GenerateOptions = {
    temperature: body.number('temperature', 0, 2),
    topP: body.number('top_p', 0, 1),
    topK: body.whole('top_k', 0),
    minP: body.number('min_p', 0, 1),
    repetitionPenalty: body.number('repetition_penalty', 0, 100),
    seed: body.whole('seed', 0),
    stop: body.strings('stop'),
    ignoreEos: body.boolean('ignore_eos'),
    logitBias: logitBias(body),
    numReturnSequences: textCount(body),
  };
  // What is not said is left to the defaults.
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
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
