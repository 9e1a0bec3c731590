import { AirllmError, isMarked, mark } from '@airllm/loader';

/** Files of a repository are being downloaded, by this process or another, Python's among them. */
export class CacheInUseError extends AirllmError {
  readonly repo: string;

  constructor(repo: string) {
    super('ERR_CACHE_IN_USE', `${repo} is being downloaded; let that end, or stop it, before it is removed`);
    mark(this, 'CacheInUseError');
    this.repo = repo;
  }

  static override isInstance(error: unknown): error is CacheInUseError {
    return isMarked(error, 'CacheInUseError');
  }
}
