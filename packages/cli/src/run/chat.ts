import { createInterface, type Interface } from 'node:readline';
import {
  type ChatMessage,
  ChatTemplateError,
  ContextLengthError,
  type GenerateResult,
  type LanguageModel,
  type Prompt,
} from '@airllm/runtime';
import type { Context } from '../command';
import { doesNotFit } from '../output/context-length';
import { type CallOptions, printAnswer } from './answer';
import { opening, type PromptStyle } from './prompt';

const HELP = '/clear  forget the conversation\n/exit   end (also Ctrl-D)\n/help   this\nCtrl-C ends an answer.\n';

/** A word behind a slash; a path or a sentence that begins with one is a message. */
const COMMAND = /^\/[a-z]+$/i;

/** Reads messages from a terminal and answers them until the person has had enough; the answers that came to an end. */
export async function chat(
  context: Context,
  model: LanguageModel,
  style: PromptStyle,
  options: CallOptions,
): Promise<GenerateResult[]> {
  const { terminal, io, signal, interrupts } = context;
  const { dim } = terminal.style;
  terminal.note(
    dim(
      style.templated
        ? 'Type a message; /help for more, /exit to end.\n'
        : 'No chat template is used: each line is continued on its own. /exit to end.\n',
    ),
  );
  const readline = createInterface({
    input: io.stdin,
    output: io.stderr,
    terminal: terminal.isInteractive,
    prompt: '> ',
  });
  // A terminal in raw mode sends Ctrl-C as a key, not as a signal.
  readline.on('SIGINT', () => interrupts.raise('SIGINT'));
  const lines = new Lines(readline, signal);
  const conversation = new Conversation(style);
  const results: GenerateResult[] = [];
  try {
    for (;;) {
      const line = await lines.next();
      // Ctrl-C and Ctrl-D leave the cursor behind the prompt.
      if (line === undefined) terminal.note('\n');
      signal.throwIfAborted();
      const command = line?.trim();
      if (line === undefined || command === '/exit') return results;
      if (command === '/help') terminal.tell(HELP);
      else if (command === '/clear') conversation.clear();
      else if (COMMAND.test(command!)) terminal.tell(`${command} is no command; /help lists them\n`);
      else if (command !== '') results.push(...(await reply(context, model, conversation, line, options)));
    }
  } finally {
    readline.close();
  }
}

/** Answers one message, or none where it was stopped: what was said by then stays in the conversation. */
async function reply(
  context: Context,
  model: LanguageModel,
  conversation: Conversation,
  message: string,
  options: CallOptions,
): Promise<GenerateResult[]> {
  const { terminal, interrupts, signal } = context;
  const { dim, red } = terminal.style;
  const answering = new AbortController();
  const stopped = new Error('the answer was stopped');
  const endAll = () => answering.abort(signal.reason);
  signal.addEventListener('abort', endAll);
  const release = interrupts.take(() => {
    // From here on Ctrl-C means the program again.
    release();
    answering.abort(stopped);
  });
  let said = '';
  try {
    const request = { ...conversation.ask(message), ...options, signal: answering.signal };
    const result = await printAnswer(context, model, request, (text) => {
      said += text;
    });
    const { usage, stats } = result;
    terminal.note(dim(`[${usage.newTokens} tokens, ${stats.tokensPerSecond.toFixed(2)} tokens/s]\n`));
    conversation.answered(said);
    return [result];
  } catch (error) {
    if (error === stopped) conversation.answered(said);
    else if (ContextLengthError.isInstance(error) || ChatTemplateError.isInstance(error)) {
      conversation.withdraw();
      const message = ContextLengthError.isInstance(error) ? doesNotFit(error) : error.message;
      terminal.tell(`${red('error:')} ${message}\n${dim('/clear forgets the conversation so far')}\n`);
    } else throw error;
    return [];
  } finally {
    release();
    signal.removeEventListener('abort', endAll);
  }
}

/** What has been said, where the model's template takes it all; without one every line stands alone. */
class Conversation {
  readonly #style: PromptStyle;
  #messages: ChatMessage[];

  constructor(style: PromptStyle) {
    this.#style = style;
    this.#messages = opening(style.system);
  }

  ask(message: string): Prompt {
    if (!this.#style.templated) return { prompt: message };
    this.#messages.push({ role: 'user', content: message });
    return { messages: [...this.#messages] };
  }

  answered(text: string): void {
    if (this.#style.templated) this.#messages.push({ role: 'assistant', content: text });
  }

  /** Forgets the last question. */
  withdraw(): void {
    if (this.#style.templated) this.#messages.pop();
  }

  clear(): void {
    this.#messages = opening(this.#style.system);
  }
}

/** Lines as they are asked for; those typed or pasted while an answer is being given wait. */
class Lines {
  readonly #readline: Interface;
  readonly #waiting: string[] = [];
  #closed = false;
  #wake: () => void = () => {};

  constructor(readline: Interface, signal: AbortSignal) {
    this.#readline = readline;
    readline.on('line', (line) => {
      this.#waiting.push(line);
      this.#wake();
    });
    const end = () => {
      this.#closed = true;
      this.#wake();
    };
    readline.on('close', end);
    signal.addEventListener('abort', end, { once: true });
  }

  /** Undefined at the end. */
  async next(): Promise<string | undefined> {
    if (this.#waiting.length === 0 && !this.#closed) {
      this.#readline.prompt();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#waiting.shift();
  }
}
