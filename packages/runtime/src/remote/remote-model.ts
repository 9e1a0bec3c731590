import { readFile, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { AbsentFiles } from '@airllm/loader';
import {
  CacheLayout,
  type ChooseOptions,
  chooseFiles,
  type Hub,
  type HubFile,
  type HubOptions,
  OfflineError,
  openHub,
  pullModel,
  RepositoryFileError,
} from '../hub';
import { freeBytes, missingBytes } from '../hub/cache/cached-bytes';
import { allowMany } from '../on-abort';

/** Which files of a repository, of which revision, and how they are asked for. */
export interface RemoteModelOptions extends HubOptions, Pick<ChooseOptions, 'weights' | 'quantisation'> {
  /** Branch, tag or commit. @defaultValue main */
  readonly revision?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A model of a repository, known before any of its weights is here. */
export interface RemoteModel {
  readonly repo: string;
  readonly commit: string;
  /** The snapshot, where what describes the model is by now. */
  readonly dir: string;
  /** All that a run needs. */
  readonly files: readonly HubFile[];
  /** What `openSource` opens, with `absent`: the snapshot, or the first GGUF file in it. */
  readonly path: string;
  /** Weights among the files that are not in the snapshot; headers are read in ranges. Valid until closed. */
  readonly absent: AbsentFiles;
  /** What was read for the look so far, headers included. */
  readonly bytesRead: number;
  readonly bytesTotal: number;
  /** What a download would still bring: parts that are here do not count. */
  readonly bytesToDownload: number;
  /** Of the drive that the cache is on. */
  readonly bytesFree: number;
  close(): Promise<void>;
}

/** What is fetched for a look is not worth a bar. */
const QUIETLY = { onProgress: undefined, onFile: undefined, onDiscarded: undefined };

/** Files by which `openSource` tells what weights are. */
const DESCRIBING =
  /^(config|quantize_config|quant_config|hf_quant_config|manifest)\.json$|^[^/]*\.(safetensors|bin)\.index\.json$/;
const WEIGHTS = /\.(safetensors|bin|gguf)$/;

/**
 * Opens a model of a repository for a look: its list of files and what describes its weights are fetched, a few hundred
 * kB for the largest models, the latter into the cache; of GGUF files the headers, which hold the tokenizer and have up to
 * 13 MB, are left to who reads them. Throws `HubError`s, `OptionError`, `WriteError`.
 */
export async function openRemoteModel(repo: string, options: RemoteModelOptions = {}): Promise<RemoteModel> {
  const { signal } = options;
  // Headers are read side by side.
  allowMany(signal);
  const hub = await openHub(options);
  try {
    if (hub.offline) throw new OfflineError({ what: repo });
    const { commit } = await hub.modelInfo(repo, options.revision, { signal });
    const all = await hub.listFiles(repo, commit, { signal });
    const describing = all.filter(({ path }) => DESCRIBING.test(path)).map(({ path }) => path);
    const read = { bytes: 0 };
    if (describing.length > 0) {
      // By its commit: a branch is said to be here only when all of it is.
      const pulled = await pullModel(repo, { ...options, ...QUIETLY, revision: commit, files: describing });
      read.bytes += pulled.bytesReceived;
    }
    const layout = new CacheLayout(hub.cacheDir, repo);
    const readIndex = async ({ path }: HubFile) => {
      if (describing.includes(path)) return readFile(layout.pointer(commit, path), 'utf8');
      return Buffer.from(await hub.readFile({ repo, revision: commit, path }, { signal })).toString('utf8');
    };
    const files = await chooseFiles(repo, all, options, readIndex);
    const gguf = files.find(({ path }) => path.endsWith('.gguf'))?.path;
    if (gguf === undefined && !describing.includes('config.json')) {
      const available = all.map(({ path }) => path);
      throw new RepositoryFileError({ repo, file: 'config.json', reason: 'there is no config.json', available });
    }
    const missing = await missingBytes(layout, files);
    const dir = layout.snapshot(commit);
    const folder = gguf === undefined ? '.' : posix.dirname(gguf);
    return {
      repo,
      commit,
      dir,
      files,
      path: gguf === undefined ? dir : join(dir, gguf),
      absent: await absentWeights(hub, { repo, commit, layout, files, folder, read }),
      get bytesRead() {
        return read.bytes;
      },
      bytesTotal: files.reduce((sum, { size }) => sum + size, 0),
      bytesToDownload: missing,
      bytesFree: await freeBytes(layout.root),
      close: () => hub.close(),
    };
  } catch (error) {
    await hub.close();
    throw error;
  }
}

interface Snapshot {
  readonly repo: string;
  readonly commit: string;
  readonly layout: CacheLayout;
  readonly files: readonly HubFile[];
  /** Of the weights, within the snapshot. */
  readonly folder: string;
  /** Counts what is read. */
  readonly read: { bytes: number };
}

async function absentWeights(hub: Hub, snapshot: Snapshot): Promise<AbsentFiles> {
  const { repo, commit, layout, files, folder, read } = snapshot;
  const sizes = new Map<string, number>();
  for (const { path, size } of files) {
    if (!WEIGHTS.test(path)) continue;
    const here = await stat(layout.pointer(commit, path)).catch(() => undefined);
    if (here?.size !== size) sizes.set(posix.relative(folder, path), size);
  }
  return {
    sizes,
    async read(name, offset, length, signal) {
      const file = { repo, revision: commit, path: posix.join(folder, name) };
      const bytes = await hub.readRange(file, offset, offset + length, { signal });
      read.bytes += bytes.length;
      return bytes;
    },
  };
}
