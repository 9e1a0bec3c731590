import { OptionError } from '@airllm/loader';
import { ContextLengthError, MissingTokenizerError } from '../errors';
import { renderChat, type Tokenizer } from '../text';
import type { ResolvedGeneration } from './options';
import type { GenerationSession } from './session';
import type { GenerateRequest } from './types';

/** Token ids of a request's prompt. Throws `OptionError`, `MissingTokenizerError` and the chat template's errors. */
export function promptIds(request: GenerateRequest, session: GenerationSession): readonly number[] {
  const given = [request.prompt, request.messages, request.ids].filter((value) => value !== undefined);
  if (given.length !== 1) {
    throw new OptionError({
      option: 'prompt',
      expected: 'exactly one of prompt, messages and ids',
      found: given.length,
    });
  }
  if (request.ids !== undefined) return checkedIds(request.ids, session);
  const tokenizer = needTokenizer(session.tokenizer);
  if (request.prompt !== undefined) return tokenizer.encode(checkedText(request.prompt));
  const text = renderChat(session.chatTemplate, request.messages!, {
    addGenerationPrompt: !request.chat?.continueFinalMessage,
    ...request.chat,
  });
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** New tokens this prompt may be followed by. Throws `ContextLengthError` where the caller's number does not fit. */
export function newTokenLimit(promptLength: number, contextLength: number, resolved: ResolvedGeneration): number {
  if (promptLength === 0) {
    throw new OptionError({ option: 'prompt', expected: 'at least one token', found: 'an empty prompt' });
  }
  const room = contextLength - promptLength;
  if (room < 1 || (resolved.exactLength && resolved.maxNewTokens > room)) {
    const newTokens = resolved.exactLength ? resolved.maxNewTokens : 1;
    throw new ContextLengthError({ promptTokens: promptLength, newTokens, contextLength });
  }
  return Math.min(resolved.maxNewTokens, room);
}

function needTokenizer(tokenizer: Tokenizer | null): Tokenizer {
  if (tokenizer === null) throw new MissingTokenizerError();
  return tokenizer;
}

function checkedText(prompt: unknown): string {
  if (typeof prompt !== 'string') throw new OptionError({ option: 'prompt', expected: 'a text', found: prompt });
  return prompt;
}

function checkedIds(ids: readonly number[], session: GenerationSession): readonly number[] {
  const { vocabSize } = session.engine.model.config;
  const odd = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (odd !== undefined) {
    throw new OptionError({ option: 'ids', expected: `whole numbers from 0 to ${vocabSize - 1}`, found: odd });
  }
  return ids;
}
