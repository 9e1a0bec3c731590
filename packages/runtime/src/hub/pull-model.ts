import { setMaxListeners } from 'node:events';
import { OptionError } from '@airllm/loader';
import { CacheLayout } from './cache/cache-layout';
import { missingBytes } from './cache/cached-bytes';
import { checkSpace, ensureFolder } from './cache/files';
import { type DownloadContext, downloadContext } from './download/download-context';
import { fetchFile } from './download/fetch-file';
import { Slots } from './download/slots';
import { OfflineError, RepositoryFileError } from './errors';
import { ProgressMeter } from './progress';
import { PulledFile } from './pulled-file';
import { chooseFiles } from './repo/choose-files';
import { type HubClient, openClient } from './repo/client';
import type { HubFile, HubModelInfo, Pull, PulledModel, PullOptions } from './types';

/** For tests: what is too large to be crossed often in a quick one. */
export interface PullTuning {
  /** Bytes asked for at once. @defaultValue 8 MiB */
  readonly partBytes?: number;
}

/** More would need more memory, and bring nothing: the first already has all connections it can use. */
const LARGE_FILES_AT_ONCE = 2;
const LARGE_BYTES = 2 ** 20;

/**
 * Downloads what a run needs of a model into the Hugging Face cache, and waits until all of it is there and verified.
 * An interrupted download goes on where it stopped. Throws what {@link openPull} and its `done` throw.
 */
export async function pullModel(repo: string, options: PullOptions = {}): Promise<PulledModel> {
  return (await openPull(repo, options)).done;
}

/**
 * Begins a download and returns once it is known which files are fetched. Throws `HubError`s (`RepositoryNotFoundError`,
 * `GatedRepositoryError`, `OfflineError`, …), `NoSpaceError`, `WriteError`, `OptionError`; `done` rejects with the same,
 * or `signal.reason`, when something goes wrong later.
 */
export async function openPull(repo: string, options: PullOptions = {}): Promise<Pull> {
  return beginPull(repo, options);
}

export async function beginPull(repo: string, options: PullOptions = {}, tuning: PullTuning = {}): Promise<Pull> {
  const { connections = 8 } = options;
  if (!(Number.isInteger(connections) && connections >= 1 && connections <= 64)) {
    throw new OptionError({ option: 'connections', expected: 'a whole number from 1 to 64', found: connections });
  }
  const client = await openClient(options);
  try {
    if (client.offline) throw new OfflineError({ what: `${repo}, or the newest state of it,` });
    const info = await client.modelInfo(repo, options.revision, { signal: options.signal });
    const context = downloadContext(connections, tuning.partBytes);
    const running = new RunningPull(repo, info, client, context, options);
    await running.choose();
    const done = running.run().finally(() => client.close());
    // Who only waits for files must not find the process ended.
    done.catch(() => {});
    return running.face(done);
  } catch (error) {
    await client.close();
    throw error;
  }
}

class RunningPull {
  readonly #layout: CacheLayout;
  readonly #meter: ProgressMeter;
  readonly #abort = new AbortController();
  #files: PulledFile[] = [];
  #bytesAtStart = 0;

  constructor(
    private readonly repo: string,
    private readonly info: HubModelInfo,
    private readonly client: HubClient,
    private readonly context: DownloadContext,
    private readonly options: PullOptions,
  ) {
    this.#layout = new CacheLayout(client.cacheDir, repo);
    this.#meter = new ProgressMeter({ repo, commit: info.commit }, options.onProgress);
    setMaxListeners(0, this.#abort.signal);
  }

  /** Decides what is fetched, and looks whether it fits. An index of shards is fetched for that. */
  async choose(): Promise<void> {
    const { repo, info, client, options } = this;
    const { signal } = options;
    const all = await client.listFiles(repo, info.commit, { signal });
    const readIndex = async (file: HubFile) => {
      const address = { repo, revision: info.commit, path: file.path };
      return Buffer.from(await client.readFile(address, { signal })).toString('utf8');
    };
    const chosen = await chooseFiles(repo, all, options, readIndex).catch(async (error) => {
      // huggingface_hub remembers what a commit lacks, too.
      if (RepositoryFileError.isInstance(error) && error.file !== undefined) {
        await this.#layout.writeNoExist(info.commit, error.file).catch(() => {});
      }
      throw error;
    });
    const ordered = options.order?.(chosen) ?? chosen;
    this.#files = ordered.map((file) => new PulledFile(file));
    await ensureFolder(this.#layout.root);
    const bytesToWrite = await missingBytes(
      this.#layout,
      this.#files.map(({ file }) => file),
    );
    this.#bytesAtStart = Math.max(0, this.#bytesTotal() - bytesToWrite);
    await checkSpace(this.#layout.root, bytesToWrite);
  }

  face(done: Promise<PulledModel>): Pull {
    const { repo, info } = this;
    const files = this.#files;
    const find = (path: string) => {
      const found = files.find(({ file }) => file.path === path);
      if (found) return found;
      throw new RepositoryFileError({ repo, file: path, reason: `${path} is not among the files of this pull` });
    };
    return {
      repo,
      commit: info.commit,
      dir: this.#layout.snapshot(info.commit),
      files: files.map(({ file }) => file),
      bytesTotal: this.#bytesTotal(),
      ready: async (path) => find(path).ready,
      written: async (path, from, to) => find(path).written(from, to),
      done,
    };
  }

  async run(): Promise<PulledModel> {
    const { repo, info, options } = this;
    const onAbort = () => this.#abort.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort);
    if (options.signal?.aborted) onAbort();
    try {
      await this.#fetchAll();
      // Last, so that an older state that is complete stays in use until then.
      await this.#layout.writeRef(options.revision ?? 'main', info.commit);
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      this.#meter.stop();
    }
    const files = this.#files.map(({ file }) => file);
    return {
      repo,
      commit: info.commit,
      dir: this.#layout.snapshot(info.commit),
      files,
      bytesReceived: this.#meter.received,
    };
  }

  async #fetchAll(): Promise<void> {
    const large = new Slots(LARGE_FILES_AT_ONCE);
    const small = new Slots(this.context.connections);
    const { signal } = this.#abort;
    const tasks = this.#files.map((pulled, rank) =>
      (pulled.file.size > LARGE_BYTES ? large : small)
        .run(() => this.#fetch(pulled, rank), rank, signal)
        .catch((error) => {
          // The first failure ends the others, which then fail with it.
          this.#abort.abort(error);
          pulled.fail(this.#abort.signal.reason);
          throw error;
        }),
    );
    await Promise.allSettled(tasks);
    signal.throwIfAborted();
  }

  async #fetch(pulled: PulledFile, rank: number): Promise<void> {
    const { repo, info, client, context, options } = this;
    const report = (always = false) => this.#meter.report(() => this.#count(pulled), always);
    const { path, file } = await fetchFile({
      repo,
      commit: info.commit,
      file: pulled.file,
      client,
      layout: this.#layout,
      context,
      rank,
      wanted: options.wanted?.(pulled.file),
      signal: this.#abort.signal,
      onResumed: (ranges, path) => {
        pulled.has(ranges, path);
        report();
      },
      onWritten: (from, to) => {
        pulled.wrote(from, to);
        report();
      },
      onReceived: (bytes) => this.#meter.add(bytes),
      onDiscarded: (before, now) => {
        pulled.discard(now);
        options.onDiscarded?.(before);
      },
    });
    pulled.complete(file, path);
    options.onFile?.(file, path);
    report(true);
  }

  #count({ file, bytesDone }: PulledFile) {
    return {
      file: file.path,
      fileBytesDone: bytesDone,
      fileBytesTotal: file.size,
      bytesDone: this.#files.reduce((sum, each) => sum + each.bytesDone, 0),
      bytesTotal: this.#bytesTotal(),
      bytesAtStart: this.#bytesAtStart,
      filesDone: this.#files.filter(({ isComplete }) => isComplete).length,
      filesTotal: this.#files.length,
    };
  }

  #bytesTotal(): number {
    return this.#files.reduce((sum, { file }) => sum + file.size, 0);
  }
}
