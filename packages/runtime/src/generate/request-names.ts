import type { OptionNames } from '../option-names';
import type { GenerateRequest } from './types';

/** What `generate` and `stream` read. Requests of a batch may have fields of the caller's own beside. */
export const REQUEST_NAMES: OptionNames<GenerateRequest> = {
  prompt: true,
  messages: true,
  ids: true,
  chat: true,
  maxNewTokens: true,
  stop: true,
  ignoreEos: true,
  stoppingCriteria: true,
  doSample: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  frequencyPenalty: true,
  presencePenalty: true,
  seed: true,
  logitBias: true,
  bannedTokens: true,
  badWordsIds: true,
  logitsProcessor: true,
  responseFormat: true,
  topLogprobs: true,
  returnLogits: true,
  numReturnSequences: true,
  promptCache: true,
  signal: true,
};
