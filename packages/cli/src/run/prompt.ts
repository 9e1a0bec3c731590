import type { ChatMessage, Prompt } from '@airllm/runtime';
import { UsageError } from '../errors';
import type { CliIo } from '../io';

/** How texts become a prompt. */
export interface PromptStyle {
  /** Through the model's chat template. */
  readonly templated: boolean;
  readonly system: string | undefined;
}

/**
 * All of a pipe, without the line break that `echo` and editors put at the end, and the byte order mark that Windows puts
 * before it. Throws `UsageError` if it is empty.
 */
export async function promptFromStdin(stdin: CliIo['stdin'], signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  const stop = () => stdin.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  const text = new TextDecoder().decode(Buffer.concat(chunks)).replace(/\r?\n$/, '');
  if (text === '') throw new UsageError('there is no prompt: give one as an argument or through a pipe');
  return text;
}

/** What the model goes on from. */
export function promptOf(text: string, { templated, system }: PromptStyle): Prompt {
  return templated ? { messages: [...opening(system), { role: 'user', content: text }] } : { prompt: text };
}

/** Messages that a chat begins with. */
export function opening(system: string | undefined): ChatMessage[] {
  return system === undefined ? [] : [{ role: 'system', content: system }];
}
