import { AirllmError, isMarked, mark } from '@airllm/loader';

/** The drive is too small for what is to be written. Nothing unfinished is left behind. */
export class NoSpaceError extends AirllmError {
  readonly dir: string;
  /** Bytes still to be written. */
  readonly needed: number;
  /** Bytes free for this user. */
  readonly available: number;

  constructor(facts: { dir: string; needed: number; available: number; cause?: unknown }) {
    super(
      'ERR_NO_SPACE',
      `${facts.dir}: ${facts.needed} bytes are still to be written, ${facts.available} are free; ` +
        'make room and run it again (finished files are kept), or choose another target',
      { cause: facts.cause },
    );
    mark(this, 'NoSpaceError');
    this.dir = facts.dir;
    this.needed = facts.needed;
    this.available = facts.available;
  }

  static override isInstance(error: unknown): error is NoSpaceError {
    return isMarked(error, 'NoSpaceError');
  }
}

/** The source, or an option, is not what the files already in the target were made from. */
export class SourceChangedError extends AirllmError {
  readonly dir: string;
  /** One line per difference, in words. */
  readonly changes: readonly string[];

  constructor(facts: { dir: string; changes: readonly string[] }) {
    super(
      'ERR_SOURCE_CHANGED',
      `${facts.dir} was begun from something else: ${facts.changes.slice(0, 5).join('; ')}` +
        `${facts.changes.length > 5 ? `; and ${facts.changes.length - 5} more` : ''}; ` +
        'pass restart: true (--restart) to split anew, or choose another target',
    );
    mark(this, 'SourceChangedError');
    this.dir = facts.dir;
    this.changes = facts.changes;
  }

  static override isInstance(error: unknown): error is SourceChangedError {
    return isMarked(error, 'SourceChangedError');
  }
}

/** The target cannot be written into: it holds other things, is the source itself, or is no folder. */
export class TargetError extends AirllmError {
  readonly dir: string;
  readonly reason: string;

  constructor(facts: { dir: string; reason: string; cause?: unknown }) {
    super('ERR_TARGET', `${facts.dir}: ${facts.reason}`, { cause: facts.cause });
    mark(this, 'TargetError');
    this.dir = facts.dir;
    this.reason = facts.reason;
  }

  static override isInstance(error: unknown): error is TargetError {
    return isMarked(error, 'TargetError');
  }
}

/** Another run is writing into the target. */
export class TargetLockedError extends AirllmError {
  readonly lockFile: string;
  readonly pid: number;
  readonly host: string;

  constructor(facts: { lockFile: string; pid: number; host: string }) {
    super(
      'ERR_TARGET_LOCKED',
      `process ${facts.pid} on ${facts.host} is writing there; wait for it, ` +
        `or remove ${facts.lockFile} if you are sure that it has ended`,
    );
    mark(this, 'TargetLockedError');
    this.lockFile = facts.lockFile;
    this.pid = facts.pid;
    this.host = facts.host;
  }

  static override isInstance(error: unknown): error is TargetLockedError {
    return isMarked(error, 'TargetLockedError');
  }
}

/** A finite value of the source has no finite counterpart in the dtype asked for. */
export class ConversionOverflowError extends AirllmError {
  readonly file: string;
  readonly tensor: string;
  /** Of the first such element, counted in elements. */
  readonly index: number;
  readonly value: number;
  readonly dtype: string;

  constructor(facts: { file: string; tensor: string; index: number; value: number; dtype: string }) {
    super(
      'ERR_CONVERSION_OVERFLOW',
      `${facts.file}: tensor ${JSON.stringify(facts.tensor)}: element ${facts.index} is ${facts.value}, ` +
        `which ${facts.dtype} cannot hold; convert to bfloat16 or float32, or keep the stored dtype`,
    );
    mark(this, 'ConversionOverflowError');
    this.file = facts.file;
    this.tensor = facts.tensor;
    this.index = facts.index;
    this.value = facts.value;
    this.dtype = facts.dtype;
  }

  static override isInstance(error: unknown): error is ConversionOverflowError {
    return isMarked(error, 'ConversionOverflowError');
  }
}

/** Something wrong in a layered directory. */
export interface ShardProblem {
  readonly file: string;
  /** Null: the file as a whole, its header, or padding. */
  readonly tensor: string | null;
  readonly reason: string;
}

/** A layered directory is not what its manifest says. Its own fields are those of the first problem. */
export class VerifyError extends AirllmError {
  readonly dir: string;
  readonly file: string;
  readonly tensor: string | null;
  readonly reason: string;
  /** Everything found, in the manifest's order. */
  readonly problems: readonly ShardProblem[];

  constructor(facts: { dir: string; problems: readonly ShardProblem[]; cause?: unknown }) {
    const first = facts.problems[0] ?? { file: '', tensor: null, reason: 'unknown' };
    const where = first.tensor === null ? first.file : `${first.file}: tensor ${JSON.stringify(first.tensor)}`;
    const more = facts.problems.length > 1 ? ` (and ${facts.problems.length - 1} more problems)` : '';
    super(
      'ERR_VERIFY',
      `${facts.dir}: ${where}: ${first.reason}${more}; delete the damaged files and split again: only they are redone`,
      { cause: facts.cause },
    );
    mark(this, 'VerifyError');
    this.dir = facts.dir;
    this.file = first.file;
    this.tensor = first.tensor;
    this.reason = first.reason;
    this.problems = facts.problems;
  }

  static override isInstance(error: unknown): error is VerifyError {
    return isMarked(error, 'VerifyError');
  }
}
