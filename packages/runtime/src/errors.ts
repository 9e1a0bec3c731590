import { AirllmError, isMarked, mark } from '@airllm/loader';

/** A value of config.json is missing, of the wrong kind, or contradicts another. */
export class ConfigError extends AirllmError {
  /** Path of the key, e.g. `rope_parameters.factor`. */
  readonly key: string;
  readonly found: unknown;
  readonly expected: string;

  constructor(facts: { key: string; found: unknown; expected: string }) {
    super('ERR_CONFIG', `config.json: ${facts.key}: expected ${facts.expected}, found ${shown(facts.found)}`);
    mark(this, 'ConfigError');
    this.key = facts.key;
    this.found = facts.found;
    this.expected = facts.expected;
  }

  static override isInstance(error: unknown): error is ConfigError {
    return isMarked(error, 'ConfigError');
  }
}

/** A value of config.json is valid, but names something this version does not implement. */
export class UnsupportedConfigError extends AirllmError {
  /** Path of the key, e.g. `rope_scaling.rope_type`. */
  readonly key: string;
  readonly found: unknown;
  /** What is implemented. */
  readonly supported: readonly string[];

  constructor(facts: { key: string; found: unknown; supported: readonly string[] }) {
    const what = facts.supported.length === 0 ? 'nothing but its absence' : facts.supported.join(', ');
    super(
      'ERR_UNSUPPORTED_CONFIG',
      `config.json: ${facts.key} is ${shown(facts.found)}, which is not implemented; supported: ${what}`,
    );
    mark(this, 'UnsupportedConfigError');
    this.key = facts.key;
    this.found = facts.found;
    this.supported = facts.supported;
  }

  static override isInstance(error: unknown): error is UnsupportedConfigError {
    return isMarked(error, 'UnsupportedConfigError');
  }
}

/** A tensor whose shape or dtype is not what the architecture computes with. */
export interface TensorMismatch {
  readonly name: string;
  readonly expected: string;
  readonly found: string;
}

/** The tensors of a checkpoint are not those of the model that its config.json describes. */
export class ModelTensorError extends AirllmError {
  readonly modelType: string;
  /** Tensors the architecture needs and the checkpoint lacks. */
  readonly missing: readonly string[];
  /** Tensors of the checkpoint that the architecture does not use. */
  readonly unexpected: readonly string[];
  /** Tensors of another shape than the config implies. */
  readonly misshapen: readonly TensorMismatch[];
  /** Tensors in an element type that no executor computes with. */
  readonly uncomputable: readonly TensorMismatch[];

  constructor(facts: {
    modelType: string;
    missing: readonly string[];
    unexpected: readonly string[];
    misshapen: readonly TensorMismatch[];
    uncomputable: readonly TensorMismatch[];
  }) {
    const mismatch = ({ name, expected, found }: TensorMismatch) =>
      `${quoted(name)} (expected ${expected}, found ${found})`;
    const parts = [
      some('missing', facts.missing.map(quoted)),
      some('misshapen', facts.misshapen.map(mismatch)),
      some('in a dtype that cannot be computed with', facts.uncomputable.map(mismatch)),
      some('unexpected', facts.unexpected.map(quoted)),
    ].filter((part) => part !== null);
    super(
      'ERR_MODEL_TENSORS',
      `the tensors do not make a model of type ${facts.modelType}: ${parts.join('; ')}. ` +
        'Check that config.json belongs to these weights and that no file is missing',
    );
    mark(this, 'ModelTensorError');
    this.modelType = facts.modelType;
    this.missing = facts.missing;
    this.unexpected = facts.unexpected;
    this.misshapen = facts.misshapen;
    this.uncomputable = facts.uncomputable;
  }

  static override isInstance(error: unknown): error is ModelTensorError {
    return isMarked(error, 'ModelTensorError');
  }
}

/** No plan fits the memory that was granted. */
export class BudgetError extends AirllmError {
  readonly option: 'memory' | 'weightsMemory' | 'vram';
  /** Bytes granted. */
  readonly found: number;
  /** Smallest number of bytes that would work, all else unchanged. */
  readonly floor: number;

  constructor(facts: { option: BudgetError['option']; found: number; floor: number; contextLength: number }) {
    const hint = facts.option !== 'weightsMemory' ? ` or less context than ${facts.contextLength} positions` : '';
    super(
      'ERR_BUDGET',
      `${facts.option}: ${facts.found} bytes are too few for this model, at least ${facts.floor} are needed; grant more${hint}`,
    );
    mark(this, 'BudgetError');
    this.option = facts.option;
    this.found = facts.found;
    this.floor = facts.floor;
  }

  static override isInstance(error: unknown): error is BudgetError {
    return isMarked(error, 'BudgetError');
  }
}

/** The first few of a list, and how many there are. */
function some(what: string, items: readonly string[]): string | null {
  if (items.length === 0) return null;
  const rest = items.length > 4 ? `, and ${items.length - 4} more` : '';
  return `${what}: ${items.slice(0, 4).join(', ')}${rest}`;
}

// Names and values come from untrusted files: an error message must stay a line that a terminal can show.
function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** A row of a pass cannot be run: its token or position is not one the model has. */
export class RowError extends AirllmError {
  constructor(reason: string) {
    super('ERR_ROW', reason);
    mark(this, 'RowError');
  }

  static override isInstance(error: unknown): error is RowError {
    return isMarked(error, 'RowError');
  }
}

/** Prompt and new tokens do not fit the context that was planned for. */
export class ContextLengthError extends AirllmError {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly contextLength: number;

  constructor(facts: { promptTokens: number; newTokens: number; contextLength: number }) {
    super(
      'ERR_CONTEXT_LENGTH',
      `${facts.promptTokens} prompt tokens and ${facts.newTokens} new ones do not fit a context of ` +
        `${facts.contextLength}: shorten the prompt, lower maxNewTokens, or open the model with a larger contextLength`,
    );
    mark(this, 'ContextLengthError');
    this.promptTokens = facts.promptTokens;
    this.newTokens = facts.newTokens;
    this.contextLength = facts.contextLength;
  }

  static override isInstance(error: unknown): error is ContextLengthError {
    return isMarked(error, 'ContextLengthError');
  }
}

/** Text was given to a model whose folder has no tokenizer. */
export class MissingTokenizerError extends AirllmError {
  constructor() {
    super(
      'ERR_MISSING_TOKENIZER',
      'the model has no tokenizer.json, so text cannot be turned into tokens: give ids, or add its tokenizer files',
    );
    mark(this, 'MissingTokenizerError');
  }

  static override isInstance(error: unknown): error is MissingTokenizerError {
    return isMarked(error, 'MissingTokenizerError');
  }
}

/** No model where the caller pointed. */
export class ModelNotFoundError extends AirllmError {
  /** The folder or repository id that was asked for. */
  readonly source: string;

  constructor(facts: { source: string; reason: string }) {
    super(
      'ERR_MODEL_NOT_FOUND',
      `${quoted(facts.source)}: ${facts.reason}; give a folder with config.json and safetensors, or a repository that has been downloaded`,
    );
    mark(this, 'ModelNotFoundError');
    this.source = facts.source;
  }

  static override isInstance(error: unknown): error is ModelNotFoundError {
    return isMarked(error, 'ModelNotFoundError');
  }
}
