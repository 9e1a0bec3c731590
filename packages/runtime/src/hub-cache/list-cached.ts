import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { CacheLayout, cachedRepos } from '../hub/cache/cache-layout';
import { type GgufModel, ggufModels } from '../hub/repo/choose-gguf';
import { hubCache } from '../hub/settings';
import { describeFiles, type FilesDescription } from './describe-files';

/** A file of a snapshot. */
export interface CachedFile {
  /** Path in the repository, with `/`. */
  readonly name: string;
  /** Where its bytes are: the blob, which other snapshots may share. */
  readonly blob: string;
  readonly bytes: number;
  /** When it was last read, as far as the file system keeps that. */
  readonly lastUsed: Date;
}

/** A repository at one commit, or what of it was downloaded. */
export interface CachedSnapshot extends FilesDescription {
  readonly commit: string;
  /** Branches and tags that stood at this commit when they were last asked for. */
  readonly refs: readonly string[];
  readonly dir: string;
  readonly files: readonly CachedFile[];
  readonly bytes: number;
  /** Its GGUF files, as `org/name:Q4_K_M` names them. */
  readonly quantisations: readonly CachedQuantisation[];
}

/** One quantisation of a GGUF repository that is in the cache. */
export interface CachedQuantisation extends Pick<GgufModel, 'name' | 'bytes'> {
  /** Names of its files in the snapshot. */
  readonly files: readonly string[];
}

/** A model repository in a hub cache. */
export interface CachedModel {
  /** `org/name`. */
  readonly repo: string;
  readonly dir: string;
  readonly snapshots: readonly CachedSnapshot[];
  /** Of its folder: files that snapshots share count once, parts of unfinished downloads too. */
  readonly bytes: number;
  /** Of files that are not complete yet; the next download goes on with them. */
  readonly partialBytes: number;
  /** When one of its files, other than .json, was last read; null where there is none. */
  readonly lastUsed: Date | null;
}

/** Which cache. */
export interface HubCacheOptions {
  /** The Hugging Face hub cache. @defaultValue HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub */
  readonly cacheDir?: string | undefined;
}

/** All models of a hub cache, by name; whoever downloaded them. A cache that is not there is empty. */
export async function listCached(options: HubCacheOptions = {}): Promise<CachedModel[]> {
  const root = resolve(options.cacheDir ?? hubCache());
  const repos = await cachedRepos(root);
  return Promise.all(repos.map((repo) => describeRepo(repo, new CacheLayout(root, repo).root)));
}

async function describeRepo(repo: string, dir: string): Promise<CachedModel> {
  const refs = await readRefs(join(dir, 'refs'));
  // Systems put files of their own into every folder (.DS_Store).
  const entries = await readdir(join(dir, 'snapshots'), { withFileTypes: true }).catch(() => []);
  const commits = entries.flatMap((entry) => (entry.isDirectory() ? entry.name : [])).sort();
  const described = commits.map((commit) => describeSnapshot(join(dir, 'snapshots', commit), commit, refs));
  const snapshots = await Promise.all(described);
  const { bytes: blobBytes, partialBytes } = await blobSizes(join(dir, 'blobs'));
  const files = snapshots.flatMap((snapshot) => snapshot.files);
  // Without links (Windows) the files are in the snapshots themselves.
  const outside = new Map(
    files.filter(({ blob }) => isBelow(blob, join(dir, 'snapshots'))).map((f) => [f.blob, f.bytes]),
  );
  const bytes = blobBytes + [...outside.values()].reduce((sum, size) => sum + size, 0);
  // Listing reads what describes a model, running it reads the rest.
  const used = files.filter(({ name }) => !name.endsWith('.json')).map(({ lastUsed }) => lastUsed.getTime());
  const lastUsed = used.length === 0 ? null : new Date(Math.max(...used));
  return { repo, dir, snapshots, bytes, partialBytes, lastUsed };
}

async function describeSnapshot(
  dir: string,
  commit: string,
  refs: ReadonlyMap<string, string>,
): Promise<CachedSnapshot> {
  const files = await filesOf(dir);
  const named = [...refs].filter(([, at]) => at === commit).map(([name]) => name);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const names = files.map(({ name }) => name);
  const ggufs = ggufModels(files.map(({ name: path, bytes: size }) => ({ path, size })));
  const quantisations = ggufs.map((gguf) => ({ ...gguf, files: gguf.files.map(({ path }) => path) }));
  return { commit, refs: named.sort(), dir, files, bytes, quantisations, ...(await describeFiles(dir, names)) };
}

async function filesOf(dir: string): Promise<CachedFile[]> {
  const paths = await readdir(dir, { recursive: true });
  const described = paths.map(async (name): Promise<CachedFile[]> => {
    const path = join(dir, name);
    // A link whose blob has gone is no file.
    const found = await stat(path).catch(() => undefined);
    if (!found?.isFile()) return [];
    return [{ name: slashed(name), blob: await realpath(path), bytes: found.size, lastUsed: found.atime }];
  });
  return (await Promise.all(described)).flat().sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Name of each ref to its commit. */
export async function readRefs(dir: string): Promise<ReadonlyMap<string, string>> {
  const names = await readdir(dir, { recursive: true }).catch(() => []);
  const read = names.map(async (name): Promise<[string, string][]> => {
    const text = await readFile(join(dir, name), 'utf8').catch(() => undefined);
    return text === undefined ? [] : [[slashed(name), text.trim()]];
  });
  return new Map((await Promise.all(read)).flat());
}

function slashed(path: string): string {
  return path.split(sep).join('/');
}

/** What a download has written so far, ours or huggingface_hub's. */
const PART = /\.incomplete$/;

async function blobSizes(dir: string): Promise<{ bytes: number; partialBytes: number }> {
  const names = await readdir(dir).catch(() => []);
  let [bytes, partialBytes] = [0, 0];
  const look = async (name: string) => {
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found === undefined) return;
    const isPart = PART.test(name);
    // Holes of a file that is filled from several sides take no room.
    const size = isPart ? Math.min(found.size, found.blocks * 512 || found.size) : found.size;
    bytes += size;
    if (isPart) partialBytes += size;
  };
  await Promise.all(names.map(look));
  return { bytes, partialBytes };
}

function isBelow(path: string, dir: string): boolean {
  return !relative(dir, path).startsWith('..');
}
