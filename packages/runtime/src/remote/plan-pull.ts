import { CacheLayout, chooseFiles, type HubFile, openHub, type PullOptions } from '../hub';
import { cachedBytes, freeBytes, missingBytes } from '../hub/cache/cached-bytes';

/** A file that a download would see to. */
export interface PlannedPullFile extends HubFile {
  /** Of its bytes, those that are in the cache. */
  readonly bytesHere: number;
}

/** What a download would bring. */
export interface PullPlan {
  readonly repo: string;
  readonly commit: string;
  /** The snapshot folder. */
  readonly dir: string;
  readonly files: readonly PlannedPullFile[];
  readonly bytesTotal: number;
  readonly bytesToDownload: number;
  /** Of the drive that the cache is on. */
  readonly bytesFree: number;
}

/**
 * Says what `pullModel` would do with these options, and writes nothing. Throws `HubError`s (`RepositoryNotFoundError`,
 * `OfflineError`, …), `OptionError`.
 */
export async function planPull(repo: string, options: PullOptions = {}): Promise<PullPlan> {
  const { signal } = options;
  const hub = await openHub(options);
  try {
    const { commit } = await hub.modelInfo(repo, options.revision, { signal });
    const all = await hub.listFiles(repo, commit, { signal });
    const readIndex = async ({ path }: HubFile) =>
      Buffer.from(await hub.readFile({ repo, revision: commit, path }, { signal })).toString('utf8');
    const files = await chooseFiles(repo, all, options, readIndex);
    const layout = new CacheLayout(hub.cacheDir, repo);
    return {
      repo,
      commit,
      dir: layout.snapshot(commit),
      files: await Promise.all(files.map(async (file) => ({ ...file, bytesHere: await cachedBytes(layout, file) }))),
      bytesTotal: files.reduce((sum, { size }) => sum + size, 0),
      bytesToDownload: await missingBytes(layout, files),
      bytesFree: await freeBytes(layout.root),
    };
  } finally {
    await hub.close();
  }
}
