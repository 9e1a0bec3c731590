import { AirllmError, isMarked, mark } from '@airllm/loader';

interface HubFacts {
  /** Without query, which may hold a signature. */
  readonly url?: string | undefined;
  readonly status?: number | undefined;
  readonly cause?: unknown;
}

/** The base of what a Hub, or the way to it, can do wrong. */
export class HubError extends AirllmError {
  /** Address of the request, without its query. */
  readonly url: string | undefined;
  /** HTTP status, where there was an answer. */
  readonly status: number | undefined;

  constructor(code: string, message: string, facts: HubFacts = {}) {
    super(code, message, { cause: facts.cause });
    mark(this, 'HubError');
    this.url = facts.url;
    this.status = facts.status;
  }

  static override isInstance(error: unknown): error is HubError {
    return isMarked(error, 'HubError');
  }
}

/** The Hub has no such repository, or does not show it to this token. */
export class RepositoryNotFoundError extends HubError {
  readonly repo: string;
  /** Repositories of the local cache with a similar name, the most similar first. */
  readonly nearest: readonly string[];

  constructor(facts: HubFacts & { repo: string; nearest: readonly string[]; token: boolean }) {
    const near = facts.nearest.length > 0 ? ` Did you mean ${facts.nearest.join(' or ')}?` : '';
    const access = facts.token
      ? 'or your token may not read it: ask its owner'
      : 'or it is private: give a token (option token, HF_TOKEN, or `hf auth login`)';
    super(
      'ERR_HUB_REPOSITORY_NOT_FOUND',
      `there is no model ${facts.repo} on the Hub, ${access}. Check the spelling of org/name.${near}`,
      facts,
    );
    mark(this, 'RepositoryNotFoundError');
    this.repo = facts.repo;
    this.nearest = facts.nearest;
  }

  static override isInstance(error: unknown): error is RepositoryNotFoundError {
    return isMarked(error, 'RepositoryNotFoundError');
  }
}

/** The repository is there, the branch, tag or commit is not. */
export class RevisionNotFoundError extends HubError {
  readonly repo: string;
  readonly revision: string;

  constructor(facts: HubFacts & { repo: string; revision: string }) {
    super(
      'ERR_HUB_REVISION_NOT_FOUND',
      `${facts.repo} has no revision ${facts.revision}; give a branch, a tag or a whole commit id, or leave it out for main`,
      facts,
    );
    mark(this, 'RevisionNotFoundError');
    this.repo = facts.repo;
    this.revision = facts.revision;
  }

  static override isInstance(error: unknown): error is RevisionNotFoundError {
    return isMarked(error, 'RevisionNotFoundError');
  }
}

/** A file that was asked for, or every file with weights, is missing in a repository. */
export class RepositoryFileError extends HubError {
  readonly repo: string;
  /** The file, or undefined where no weights were found. */
  readonly file: string | undefined;
  /** What could be asked for instead. */
  readonly available: readonly string[];

  constructor(facts: HubFacts & { repo: string; file?: string; reason: string; available?: readonly string[] }) {
    const { available = [] } = facts;
    const list = available.length > 0 ? `; there is ${some(available)}` : '';
    super('ERR_HUB_FILE', `${facts.repo}: ${facts.reason}${list}`, facts);
    mark(this, 'RepositoryFileError');
    this.repo = facts.repo;
    this.file = facts.file;
    this.available = available;
  }

  static override isInstance(error: unknown): error is RepositoryFileError {
    return isMarked(error, 'RepositoryFileError');
  }
}

/** The repository's owner wants to be asked before its files can be read. */
export class GatedRepositoryError extends HubError {
  readonly repo: string;

  constructor(facts: HubFacts & { repo: string; endpoint: string; token: boolean }) {
    const then = facts.token
      ? 'wait until access is granted, and check that your token may read gated repositories'
      : 'give the token of an account that has access (option token, HF_TOKEN, or `hf auth login`)';
    super(
      'ERR_HUB_GATED',
      `${facts.repo} is gated: accept its conditions at ${facts.endpoint}/${facts.repo}, then ${then}`,
      facts,
    );
    mark(this, 'GatedRepositoryError');
    this.repo = facts.repo;
  }

  static override isInstance(error: unknown): error is GatedRepositoryError {
    return isMarked(error, 'GatedRepositoryError');
  }
}

/** The Hub refuses this token (401), or this token that request (403). */
export class HubAccessError extends HubError {
  constructor(facts: HubFacts & { status: number; token: boolean; message: string }) {
    const what =
      facts.status === 401
        ? facts.token
          ? 'does not know this token: make a new one, or take the wrong one out of HF_TOKEN and HF_HOME/token'
          : 'wants a token: give one (option token, HF_TOKEN, or `hf auth login`)'
        : 'forbids this: check what your token may read';
    super('ERR_HUB_ACCESS', `the Hub ${what} (${facts.status}${facts.message ? `: ${facts.message}` : ''})`, facts);
    mark(this, 'HubAccessError');
  }

  static override isInstance(error: unknown): error is HubAccessError {
    return isMarked(error, 'HubAccessError');
  }
}

/** 429, for longer than was to be waited. */
export class RateLimitError extends HubError {
  /** What the Hub asked to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(facts: HubFacts & { retryAfterMs: number | undefined; token: boolean }) {
    const wait = facts.retryAfterMs === undefined ? 'a while' : `${Math.ceil(facts.retryAfterMs / 1000)} s`;
    const hint = facts.token ? '' : ', or give a token, which has a higher limit';
    super(
      'ERR_HUB_RATE_LIMIT',
      `the Hub allows no more requests for now; run it again after ${wait} (it resumes where it stopped)${hint}`,
      facts,
    );
    mark(this, 'RateLimitError');
    this.retryAfterMs = facts.retryAfterMs;
  }

  static override isInstance(error: unknown): error is RateLimitError {
    return isMarked(error, 'RateLimitError');
  }
}

/** The Hub, its CDN or the way there fails, also after all attempts: no connection, 5xx, stalled, cut or bent answers. */
export class HubUnavailableError extends HubError {
  constructor(facts: HubFacts & { url: string; reason: string; attempts: number }) {
    const times = facts.attempts === 1 ? '' : ` (${facts.attempts} attempts)`;
    super(
      'ERR_HUB_UNAVAILABLE',
      `${facts.url}: ${facts.reason}${times}; check the connection, HF_ENDPOINT and the proxy variables, and run it ` +
        'again: what has arrived is kept',
      facts,
    );
    mark(this, 'HubUnavailableError');
  }

  static override isInstance(error: unknown): error is HubUnavailableError {
    return isMarked(error, 'HubUnavailableError');
  }
}

/** A file arrived whole, twice, and is not what its repository says it is. */
export class ChecksumError extends HubError {
  readonly repo: string;
  readonly file: string;
  readonly algorithm: 'sha256' | 'git-sha1';
  readonly expected: string;
  readonly found: string;

  constructor(
    facts: HubFacts & {
      repo: string;
      file: string;
      algorithm: 'sha256' | 'git-sha1';
      expected: string;
      found: string;
    },
  ) {
    super(
      'ERR_HUB_CHECKSUM',
      `${facts.repo}: ${facts.file}: expected ${facts.algorithm} ${facts.expected}, found ${facts.found}, also after ` +
        'downloading it again; nothing of it was kept. Something between here and the Hub changes bytes: a proxy, a ' +
        'mirror, or memory',
      facts,
    );
    mark(this, 'ChecksumError');
    this.repo = facts.repo;
    this.file = facts.file;
    this.algorithm = facts.algorithm;
    this.expected = facts.expected;
    this.found = facts.found;
  }

  static override isInstance(error: unknown): error is ChecksumError {
    return isMarked(error, 'ChecksumError');
  }
}

/** A file changed under the same commit while it was downloaded, again and again. */
export class FileChangedError extends HubError {
  readonly repo: string;
  readonly file: string;
  readonly expected: string;
  readonly found: string;

  constructor(facts: HubFacts & { repo: string; file: string; expected: string; found: string }) {
    super(
      'ERR_HUB_FILE_CHANGED',
      `${facts.repo}: ${facts.file}: expected version ${facts.expected}, the server now has ${facts.found}; commits ` +
        'never change, so this mirror is broken or being updated: run it again later',
      facts,
    );
    mark(this, 'FileChangedError');
    this.repo = facts.repo;
    this.file = facts.file;
    this.expected = facts.expected;
    this.found = facts.found;
  }

  static override isInstance(error: unknown): error is FileChangedError {
    return isMarked(error, 'FileChangedError');
  }
}

/** The network would be needed, and is not to be used. */
export class OfflineError extends HubError {
  constructor(facts: { what: string }) {
    super(
      'ERR_HUB_OFFLINE',
      `${facts.what} is not in the cache and the network is not to be used; unset HF_HUB_OFFLINE and ` +
        'TRANSFORMERS_OFFLINE (or the option offline), or download it on another machine and copy the cache',
    );
    mark(this, 'OfflineError');
  }

  static override isInstance(error: unknown): error is OfflineError {
    return isMarked(error, 'OfflineError');
  }
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, 12).join(', ');
  return names.length > 12 ? `${shown} and ${names.length - 12} more` : shown;
}

/** An address without query and credentials: signatures and tokens stay out of messages. */
export function shownUrl(url: string): string {
  try {
    const { origin, pathname } = new URL(url);
    return origin + pathname;
  } catch {
    return '(not a URL)';
  }
}
