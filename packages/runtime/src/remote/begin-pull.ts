import { type CacheLayout, type HubFile, openPull, type PulledModel, type PullOptions } from '../hub';
import type { ArrivingFiles } from './arriving-reader';

/** A model that is to come. */
export interface Coming {
  readonly repo: string;
  readonly commit: string;
  /** What is said to be at that commit once all is there. */
  readonly revision: string;
  /** Files of the repository that a run needs. */
  readonly files: readonly HubFile[];
  /** Snapshot folder. */
  readonly dir: string;
  /** Of the cache that it is in. */
  readonly layout: CacheLayout;
}

/** A download under way, and what ends it; what has come is kept. */
export interface BegunPull {
  readonly pull: ArrivingFiles;
  stop(reason: unknown): void;
}

/**
 * Begins to download files of a model, those in `order` last and in that order. `options.signal` ends the beginning only.
 * Throws as `openPull`.
 */
export async function beginPull(coming: Coming, order: readonly string[], options: PullOptions): Promise<BegunPull> {
  const { repo, commit, revision, files, layout } = coming;
  const { signal } = options;
  const known = files.map(({ path }) => path);
  const first = known.filter((path) => !order.includes(path));
  const stopping = new AbortController();
  const onAbort = () => stopping.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const pull = await openPull(repo, {
      ...options,
      cacheDir: layout.cacheDir,
      revision: commit,
      files: [...first, ...order.filter((path) => known.includes(path))],
      signal: stopping.signal,
    });
    const done = pull.done.then(async (pulled): Promise<PulledModel> => {
      await layout.writeRef(revision, commit);
      return pulled;
    });
    done.catch(() => {});
    return { pull: { ...pull, done }, stop: (reason) => stopping.abort(reason) };
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
