import { AirllmError, isMarked, mark } from '@airllm/loader';

/** What a chat template did wrong: refused by `raise_exception`, not Jinja, or failed while it ran. */
export type ChatTemplateReason = 'refused' | 'syntax' | 'failed';

/** A chat could not be rendered by the model's own template. */
export class ChatTemplateError extends AirllmError {
  readonly reason: ChatTemplateReason;
  /** Name of the template among several (`default`, `tool_use`). */
  readonly template: string;

  constructor(facts: { reason: ChatTemplateReason; template: string; detail: string; cause?: unknown }) {
    const what = {
      refused: 'refuses these messages',
      syntax: 'cannot be read as Jinja',
      failed: 'failed on these messages',
    }[facts.reason];
    super('ERR_CHAT_TEMPLATE', `the chat template '${facts.template}' ${what}: ${facts.detail}`, {
      cause: facts.cause,
    });
    mark(this, 'ChatTemplateError');
    this.reason = facts.reason;
    this.template = facts.template;
  }

  static override isInstance(error: unknown): error is ChatTemplateError {
    return isMarked(error, 'ChatTemplateError');
  }
}

/** Messages were given for a model that has no chat template. */
export class MissingChatTemplateError extends AirllmError {
  /** The model's folder, where known. */
  readonly dir: string | undefined;

  constructor(dir?: string) {
    super(
      'ERR_MISSING_CHAT_TEMPLATE',
      `${dir === undefined ? 'the model' : dir} has no chat template (chat_template.jinja, chat_template.json or ` +
        `chat_template in tokenizer_config.json), so messages cannot be turned into a prompt: give the prompt as ` +
        `text instead, or a template of your own`,
    );
    mark(this, 'MissingChatTemplateError');
    this.dir = dir;
  }

  static override isInstance(error: unknown): error is MissingChatTemplateError {
    return isMarked(error, 'MissingChatTemplateError');
  }
}

/** A tokenizer's files are missing, broken, or ask for something that is not implemented. */
export class TokenizerError extends AirllmError {
  /** The file, or what stands for it. */
  readonly file: string;
  /** The part of it, such as `model.type`. */
  readonly field: string | undefined;

  constructor(facts: { file: string; field?: string | undefined; reason: string; cause?: unknown }) {
    const where = facts.field === undefined ? facts.file : `${facts.file}: ${facts.field}`;
    super('ERR_TOKENIZER', `${where}: ${facts.reason}`, { cause: facts.cause });
    mark(this, 'TokenizerError');
    this.file = facts.file;
    this.field = facts.field;
  }

  static override isInstance(error: unknown): error is TokenizerError {
    return isMarked(error, 'TokenizerError');
  }
}
