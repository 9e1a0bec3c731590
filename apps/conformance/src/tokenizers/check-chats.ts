import { type ChatMessage, ChatTemplate, ChatTemplateError, renderChat, type Tokenizer } from '@airllm/runtime';
import type { ExpectedChat, ExpectedChats, TokenizerCheck } from './format';
import { Tally } from './tally';

/** Chats rendered by their template; where a tokenizer is given, their ids too. */
export function checkChats(
  name: string,
  expected: ExpectedChats,
  tokenizer: Tokenizer | undefined,
): TokenizerCheck | undefined {
  if (expected.chat_template == null || expected.chat === undefined) return undefined;
  const template = new ChatTemplate(
    expected.chat_template as string,
    expected.special_tokens ?? specialTokens(expected),
  );
  const tally = new Tally(`${name} chat`);
  for (const chat of expected.chat) {
    if (chat.raises !== undefined) {
      tally.case(`${chat.case} is refused`, () => refusal(template, chat, expected.now), 'refused');
      continue;
    }
    tally.case(chat.case, () => render(template, chat, expected.now), chat.text);
    if (tokenizer !== undefined && chat.ids !== undefined) {
      tally.case(`${chat.case} ids`, () => tokenizer.encode(chat.text!, { addSpecialTokens: false }), chat.ids);
    }
  }
  return tally.result();
}

/** Files of `chat-templates` have them as keys of their own. */
function specialTokens(expected: object): Record<string, string> {
  return Object.fromEntries(Object.entries(expected).filter(([key]) => key.endsWith('_token')));
}

function render(template: ChatTemplate, chat: ExpectedChat, now: string): string {
  const { case: _, messages, text: _text, ids: _ids, raises: _raises, ...args } = chat;
  const { tools, documents, add_generation_prompt, continue_final_message, ...variables } = args;
  return renderChat(template, messages as ChatMessage[], {
    tools: tools as unknown[] | null | undefined,
    documents: documents as unknown[] | null | undefined,
    addGenerationPrompt: add_generation_prompt === true,
    continueFinalMessage: continue_final_message === true,
    variables,
    now: () => new Date(now),
  });
}

function refusal(template: ChatTemplate, chat: ExpectedChat, now: string): string {
  try {
    return render(template, chat, now);
  } catch (error) {
    if (ChatTemplateError.isInstance(error)) return error.reason;
    throw error;
  }
}
