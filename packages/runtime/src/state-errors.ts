import { AirllmError, isMarked, mark } from '@airllm/loader';

/** A drive has no room for the keys and values of a sequence that may grow as asked. */
export class StateSpaceError extends AirllmError {
  readonly dir: string;
  /** Bytes that the sequences may come to, and bytes free for this user. */
  readonly needed: number;
  readonly available: number;

  constructor(facts: { dir: string; needed: number; available: number }) {
    super(
      'ERR_STATE_SPACE',
      `${facts.dir}: the KV cache may come to ${facts.needed} bytes, ${facts.available} are free; ` +
        'free some space, choose another kvCacheDir, a smaller contextLength or kvCacheDtype',
    );
    mark(this, 'StateSpaceError');
    this.dir = facts.dir;
    this.needed = facts.needed;
    this.available = facts.available;
  }

  static override isInstance(error: unknown): error is StateSpaceError {
    return isMarked(error, 'StateSpaceError');
  }
}

/** Keys and values came back from a drive as others than were given to it. */
export class StateDamagedError extends AirllmError {
  readonly file: string;
  readonly layer: number;
  /** The first position of the block that was changed. */
  readonly position: number;

  constructor(facts: { file: string; layer: number; position: number }) {
    super(
      'ERR_STATE_DAMAGED',
      `${facts.file}: the keys and values of layer ${facts.layer} from position ${facts.position} on are not what was ` +
        'written: the drive may be failing; run the prompt again, with kvCacheDir on another drive',
    );
    mark(this, 'StateDamagedError');
    this.file = facts.file;
    this.layer = facts.layer;
    this.position = facts.position;
  }

  static override isInstance(error: unknown): error is StateDamagedError {
    return isMarked(error, 'StateDamagedError');
  }
}

/** A prompt cache file cannot be used: it is damaged, belongs to another model, or to other settings of this one. */
export class PromptCacheError extends AirllmError {
  readonly file: string;
  readonly reason: string;

  /** `isCache`: whether it is known to be a prompt cache; what may be somebody else's is not to be deleted. */
  constructor(facts: { file: string; reason: string; isCache: boolean; cause?: unknown }) {
    const advice = facts.isCache ? 'delete it to have it made anew, or name another file' : 'name another file';
    super('ERR_PROMPT_CACHE', `${facts.file}: ${facts.reason}; ${advice}`, { cause: facts.cause });
    mark(this, 'PromptCacheError');
    this.file = facts.file;
    this.reason = facts.reason;
  }

  static override isInstance(error: unknown): error is PromptCacheError {
    return isMarked(error, 'PromptCacheError');
  }
}
