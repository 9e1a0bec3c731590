import { OptionError } from '@airllm/loader';
import type { ChatTemplate } from './chat-template';
import { ChatTemplateError, MissingChatTemplateError } from './errors';
import { renderTemplate } from './jinja/evaluate';
import { templateGlobals } from './jinja/globals';
import { Scope } from './jinja/scope';
import { fromJs, TemplateRaised } from './jinja/values';

/** A part of a message's content, such as `{ type: 'text', text }`. */
export interface ChatContentPart {
  type: string;
  text?: string;
  [field: string]: unknown;
}

/** A message as chat templates know it; further fields (`tool_calls`, `reasoning_content`, `name`) are passed on. */
export interface ChatMessage {
  role: string;
  content?: string | ChatContentPart[] | null;
  [field: string]: unknown;
}

/** What {@link renderChat} takes beside template and messages. */
export interface RenderChatOptions {
  /** Tools the model may call, as JSON schemas. Default: none. */
  tools?: readonly unknown[] | null | undefined;
  /** Documents for templates made for retrieval. Default: none. */
  documents?: readonly unknown[] | null | undefined;
  /** Ends the text where the assistant's answer begins. Default: false. */
  addGenerationPrompt?: boolean | undefined;
  /** Ends the text right after the last message's content, so that the model carries it on. Default: false. */
  continueFinalMessage?: boolean | undefined;
  /** Name of the template among several. Default: `tool_use` for tools where it exists, else `default`. */
  template?: string | undefined;
  /** Further variables of the template, such as `enable_thinking`. They win over the special tokens. */
  variables?: Readonly<Record<string, unknown>> | undefined;
  /** The clock behind `strftime_now`; its local time counts. Default: the system's. */
  now?: (() => Date) | undefined;
}

// Not a text any template could treat specially; the space at its end shows whether the template trims contents.
const FINAL_TAG = 'CONTINUE_FINAL_MESSAGE_TAG ';

/**
 * The prompt text of a conversation, as transformers' `apply_chat_template` renders it. It holds its own special
 * tokens: encode it with `addSpecialTokens: false`.
 *
 * @throws MissingChatTemplateError where `template` is null; ChatTemplateError where it refuses or fails; OptionError
 *   for options that contradict each other.
 */
export function renderChat(
  template: ChatTemplate | null,
  messages: readonly ChatMessage[],
  options: RenderChatOptions = {},
): string {
  if (template === null) throw new MissingChatTemplateError();
  if (!options.continueFinalMessage) return renderWithFallback(template, messages, options);
  if (options.addGenerationPrompt) {
    const expected = 'false or absent together with addGenerationPrompt';
    throw new OptionError({ option: 'continueFinalMessage', expected, found: true });
  }
  return endAtTag(renderWithFallback(template, tagFinalMessage(messages), options), template, options);
}

function tagFinalMessage(messages: readonly ChatMessage[]): ChatMessage[] {
  const last = messages.at(-1);
  const content = last?.content;
  if (last !== undefined && typeof content === 'string') {
    return [...messages.slice(0, -1), { ...last, content: content + FINAL_TAG }];
  }
  if (last !== undefined && Array.isArray(content)) {
    const at = content.findLastIndex((part) => typeof part.text === 'string');
    if (at >= 0) {
      const parts = content.map((part, i) => (i === at ? { ...part, text: part.text! + FINAL_TAG } : part));
      return [...messages.slice(0, -1), { ...last, content: parts }];
    }
  }
  throw new OptionError({ option: 'continueFinalMessage', expected: 'a last message with text', found: content });
}

function endAtTag(text: string, template: ChatTemplate, options: RenderChatOptions): string {
  const at = text.lastIndexOf(FINAL_TAG.trimEnd());
  if (at < 0) {
    throw new ChatTemplateError({
      reason: 'failed',
      template: template.choose({ name: options.template, hasTools: hasTools(options) }),
      detail: "the last message's content is not in the text it makes, so it cannot be continued",
    });
  }
  const before = text.slice(0, at);
  return text.startsWith(FINAL_TAG, at) ? before : before.trimEnd();
}

/** Templates disagree on null fields: most want them absent, some want them there. */
function renderWithFallback(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderChatOptions,
): string {
  const kept = messages.map(withThinking);
  const dropped = kept.map(withoutNulls);
  if (dropped.every((message, i) => message === kept[i])) return renderOnce(template, kept, options);
  try {
    return renderOnce(template, dropped, options);
  } catch (error) {
    if (!ChatTemplateError.isInstance(error)) throw error;
    return renderOnce(template, kept, options);
  }
}

function withThinking(message: ChatMessage): ChatMessage {
  if (message.reasoning_content == null || message.thinking !== undefined) return message;
  return { ...message, thinking: message.reasoning_content };
}

function withoutNulls(message: ChatMessage): ChatMessage {
  const entries = Object.entries(message);
  const kept = entries.filter(([, value]) => value !== null);
  return kept.length === entries.length ? message : (Object.fromEntries(kept) as ChatMessage);
}

const hasTools = (options: RenderChatOptions): boolean => (options.tools ?? null) !== null;

function renderOnce(template: ChatTemplate, messages: readonly ChatMessage[], options: RenderChatOptions): string {
  const name = template.choose({ name: options.template, hasTools: hasTools(options) });
  const program = template.program(name);
  const variables = {
    ...template.specialTokens,
    ...options.variables,
    messages,
    // Given even where there are none: templates ask `tools is not none`.
    tools: options.tools ?? null,
    documents: options.documents ?? null,
    add_generation_prompt: options.addGenerationPrompt ?? false,
  };
  try {
    const globals = new Scope();
    for (const [key, value] of templateGlobals(options.now ?? (() => new Date()))) globals.set(key, value);
    const scope = new Scope(globals);
    for (const [key, value] of Object.entries(variables)) if (value !== undefined) scope.set(key, fromJs(value, key));
    return renderTemplate(program, scope);
  } catch (cause) {
    const reason = cause instanceof TemplateRaised ? 'refused' : 'failed';
    throw new ChatTemplateError({ reason, template: name, detail: (cause as Error).message, cause });
  }
}
