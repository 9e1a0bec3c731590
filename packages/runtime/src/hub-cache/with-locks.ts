import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireLock, type FileLock } from '../hub/cache/lock';
import { CacheInUseError } from './errors';

/** A download holds its locks for minutes. */
const PATIENCE_MS = 300;

/** Does something while nobody downloads a file of a repository. Throws `CacheInUseError` if somebody does. */
export async function withLocks<T>(folder: string, repo: string, work: () => Promise<T>): Promise<T> {
  const names = await readdir(folder).catch(() => []);
  const held: FileLock[] = [];
  try {
    for (const name of names.filter((each) => each.endsWith('.lock'))) {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      held.push(
        await acquireLock(join(folder, name), signal).catch((error: unknown) => {
          throw signal.aborted ? new CacheInUseError(repo) : error;
        }),
      );
    }
    return await work();
  } finally {
    for (const lock of held) await lock.release();
  }
}
