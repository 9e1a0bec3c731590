/**
 * Base of every error the project throws on purpose. `instanceof` fails when an ESM and a CJS copy of a package meet in
 * one process, so every class carries a `Symbol.for` marker and a static `isInstance` that looks for it.
 */
export class AirllmError extends Error {
  /** Stable, for programs: the message may change, the code does not. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
    mark(this, 'error');
  }

  static isInstance(error: unknown): error is AirllmError {
    return isMarked(error, 'error');
  }
}

/** Puts the marker `Symbol.for('@airllm/<kind>')` on an object, for classes whose copies must know each other. */
export function mark(target: object, kind: string): void {
  Object.defineProperty(target, Symbol.for(`@airllm/${kind}`), { value: true });
}

/** Whether an object carries the marker that {@link mark} sets. */
export function isMarked(value: unknown, kind: string): boolean {
  return typeof value === 'object' && value !== null && Symbol.for(`@airllm/${kind}`) in value;
}

/** A file is not what its format demands. */
export class FormatError extends AirllmError {
  readonly file: string;
  readonly reason: string;
  readonly tensor: string | undefined;

  constructor(facts: { file: string; reason: string; tensor?: string | undefined; cause?: unknown }) {
    const where = facts.tensor === undefined ? facts.file : `${facts.file}: tensor ${quoted(facts.tensor)}`;
    super('ERR_FORMAT', `${where}: ${facts.reason}`, { cause: facts.cause });
    mark(this, 'FormatError');
    this.file = facts.file;
    this.reason = facts.reason;
    this.tensor = facts.tensor;
  }

  static override isInstance(error: unknown): error is FormatError {
    return isMarked(error, 'FormatError');
  }
}

/** A tensor that was asked for, or promised by an index, does not exist or has no bytes. */
export class MissingTensorError extends AirllmError {
  readonly tensor: string;
  /** The file or folder that should have held it. */
  readonly file: string | undefined;

  constructor(facts: { tensor: string; file?: string | undefined; reason: string }) {
    super('ERR_MISSING_TENSOR', `tensor ${quoted(facts.tensor)}: ${facts.reason}`);
    mark(this, 'MissingTensorError');
    this.tensor = facts.tensor;
    this.file = facts.file;
  }

  static override isInstance(error: unknown): error is MissingTensorError {
    return isMarked(error, 'MissingTensorError');
  }
}

/** A file that a checkpoint needs is not there. */
export class MissingFileError extends AirllmError {
  readonly file: string;
  /** The index or manifest that names it, or the caller's path itself. */
  readonly neededBy: string;

  constructor(facts: { file: string; neededBy: string; cause?: unknown }) {
    const by = facts.neededBy === facts.file ? '' : `, which ${facts.neededBy} names`;
    super('ERR_MISSING_FILE', `${facts.file}${by}: no such file; download it (again) or correct the path`, {
      cause: facts.cause,
    });
    mark(this, 'MissingFileError');
    this.file = facts.file;
    this.neededBy = facts.neededBy;
  }

  static override isInstance(error: unknown): error is MissingFileError {
    return isMarked(error, 'MissingFileError');
  }
}

/** A folder holds no weights this package can open. */
export class UnsupportedCheckpointError extends AirllmError {
  readonly dir: string;
  /** Names of the files that looked like weights. */
  readonly found: readonly string[];

  constructor(facts: { dir: string; found: readonly string[]; reason: string }) {
    super('ERR_UNSUPPORTED_CHECKPOINT', `${facts.dir}: ${facts.reason}`);
    mark(this, 'UnsupportedCheckpointError');
    this.dir = facts.dir;
    this.found = facts.found;
  }

  static override isInstance(error: unknown): error is UnsupportedCheckpointError {
    return isMarked(error, 'UnsupportedCheckpointError');
  }
}

/** Something was used after its `dispose()` or `close()`. */
export class DisposedError extends AirllmError {
  readonly what: string;

  constructor(what: string) {
    super('ERR_DISPOSED', `${what} was used after it had been disposed`);
    mark(this, 'DisposedError');
    this.what = what;
  }

  static override isInstance(error: unknown): error is DisposedError {
    return isMarked(error, 'DisposedError');
  }
}

/** Bytes could not be read: an I/O error, or the file ends before them. */
export class ReadError extends AirllmError {
  readonly file: string;
  /** Where the failing read began, in bytes from the start of the file. */
  readonly offset: number;
  /** Bytes that were wanted from `offset` on. */
  readonly expected: number;
  /** Bytes that arrived before the failure. */
  readonly found: number;
  /** The system's name for the error (`EIO`, `ENOENT`, …); undefined at the end of the file. */
  readonly errno: string | undefined;

  constructor(facts: {
    file: string;
    offset: number;
    expected: number;
    found: number;
    errno?: string | undefined;
    reason?: string | undefined;
    cause?: unknown;
  }) {
    const why = facts.reason ?? facts.errno ?? 'the file ends before them; it was cut or changed while open';
    // Nothing expected yet: the file could not even be opened.
    const what =
      facts.expected === 0 ? '' : `expected ${facts.expected} bytes at offset ${facts.offset}, found ${facts.found}: `;
    super('ERR_READ', `${facts.file}: ${what}${why}`, { cause: facts.cause });
    mark(this, 'ReadError');
    this.file = facts.file;
    this.offset = facts.offset;
    this.expected = facts.expected;
    this.found = facts.found;
    this.errno = facts.errno;
  }

  static override isInstance(error: unknown): error is ReadError {
    return isMarked(error, 'ReadError');
  }
}

/** A file could not be written; what was begun has been removed. */
export class WriteError extends AirllmError {
  readonly file: string;
  readonly errno: string | undefined;

  constructor(facts: { file: string; reason: string; errno?: string | undefined; cause?: unknown }) {
    super('ERR_WRITE', `${facts.file}: ${facts.reason}`, { cause: facts.cause });
    mark(this, 'WriteError');
    this.file = facts.file;
    this.errno = facts.errno;
  }

  static override isInstance(error: unknown): error is WriteError {
    return isMarked(error, 'WriteError');
  }
}

/** A native library, or a function in it, could not be loaded. */
export class LibraryError extends AirllmError {
  readonly library: string;

  constructor(facts: { library: string; reason: string; cause?: unknown }) {
    super('ERR_LIBRARY', `${facts.library}: ${facts.reason}`, { cause: facts.cause });
    mark(this, 'LibraryError');
    this.library = facts.library;
  }

  static override isInstance(error: unknown): error is LibraryError {
    return isMarked(error, 'LibraryError');
  }
}

/** The system refused memory. */
export class AllocationError extends AirllmError {
  readonly byteLength: number;

  constructor(facts: { byteLength: number; label?: string | undefined; reason: string; cause?: unknown }) {
    const what = facts.label === undefined ? 'a buffer' : facts.label;
    super('ERR_ALLOCATION', `${what} of ${facts.byteLength} bytes could not be allocated: ${facts.reason}`, {
      cause: facts.cause,
    });
    mark(this, 'AllocationError');
    this.byteLength = facts.byteLength;
  }

  static override isInstance(error: unknown): error is AllocationError {
    return isMarked(error, 'AllocationError');
  }
}

/** An argument or option has a value that makes no sense. */
export class OptionError extends AirllmError {
  readonly option: string;
  readonly expected: string;
  readonly found: unknown;

  constructor(facts: { option: string; expected: string; found: unknown }) {
    super('ERR_OPTION', `${facts.option}: expected ${facts.expected}, found ${shown(facts.found)}`);
    mark(this, 'OptionError');
    this.option = facts.option;
    this.expected = facts.expected;
    this.found = facts.found;
  }

  static override isInstance(error: unknown): error is OptionError {
    return isMarked(error, 'OptionError');
  }
}

// Names come from untrusted files: an error message must stay a line that a terminal can show.
function quoted(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

function shown(value: unknown): string {
  return typeof value === 'string' ? quoted(value) : String(value);
}
