import { relative, sep } from 'node:path';
import type { Reader } from '@airllm/loader';
import { type CacheLayout, type HubFile, openPull, type PullOptions } from '../hub';
import { ArrivingReader } from './arriving-reader';

/** A model that is to come, and who reads it. */
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
  /** Paths of weights in the order in which they are wanted. */
  readonly order: readonly string[];
  /** Reads what has arrived; closed with the result. */
  readonly reader: Reader;
}

/**
 * Begins to download a model's files in the order in which they are computed with, and returns what reads them while they
 * arrive. `signal` ends the beginning only; closing the result ends the download, and what there is of it is kept. Throws as
 * `openPull`.
 */
export async function arrive(coming: Coming, options: PullOptions): Promise<ArrivingReader> {
  const { repo, commit, revision, files, dir, order, reader, layout } = coming;
  const { signal } = options;
  const wanted = order.map((path) => relative(dir, path).split(sep).join('/'));
  const known = files.map(({ path }) => path);
  const first = known.filter((path) => !wanted.includes(path));
  const stopping = new AbortController();
  const onAbort = () => stopping.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  let arriving: ArrivingReader | undefined;
  try {
    const pull = await openPull(repo, {
      ...options,
      cacheDir: layout.cacheDir,
      revision: commit,
      files: [...first, ...wanted.filter((path) => known.includes(path))],
      signal: stopping.signal,
      onDiscarded: (file) => arriving?.discarded(file),
    });
    const done = pull.done.then(async (pulled) => {
      await layout.writeRef(revision, commit);
      return pulled;
    });
    done.catch(() => {});
    arriving = new ArrivingReader(reader, { ...pull, done }, (reason) => stopping.abort(reason));
    return arriving;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
