import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ModelNotFoundError } from '../errors';

export interface ResolveModelOptions {
  /** The Hugging Face hub cache. @defaultValue HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub */
  readonly cacheDir?: string | undefined;
  /** Branch, tag or commit of a repository. @defaultValue main */
  readonly revision?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where a model's files are. */
export interface ResolvedModel {
  /** Folder with config.json and the weights. */
  readonly dir: string;
  /** Where a file was named (GGUF, one safetensors file, an index): the file. */
  readonly file?: string;
  /** For a repository: `org/name` and the commit that was found. */
  readonly repo?: string;
  readonly commit?: string;
}

/** `org/name` or `name`, optionally `@revision`. */
const REPO_ID = /^([\w.-]+\/)?[\w.-]+(@[\w./-]+)?$/;
/** A name becomes a path below the cache and must stay there: no part of it is `..`. */
const REVISION = /^(?!.*(^|\/)\.\.(\/|$))[\w./-]+$/;

/**
 * Finds a model: a folder, a file with weights, or a repository id in the local Hugging Face cache (shared with Python's huggingface_hub).
 * Nothing is downloaded. Throws `ModelNotFoundError`, which says where it looked.
 */
export async function resolveModel(source: string, options: ResolveModelOptions = {}): Promise<ResolvedModel> {
  options.signal?.throwIfAborted();
  const path = resolve(source);
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) return { dir: path };
  if (found?.isFile()) return { dir: dirname(path), file: path };
  if (!REPO_ID.test(source) || source.startsWith('.')) {
    throw new ModelNotFoundError({ source, reason: `there is no folder or file ${path}` });
  }
  const [repo, revision = options.revision ?? 'main'] = source.split('@') as [string, string?];
  if (!REVISION.test(revision)) throw new ModelNotFoundError({ source, reason: `${revision} cannot be a revision` });
  return fromCache(source, repo, revision, options.cacheDir ?? hubCache());
}

async function fromCache(source: string, repo: string, revision: string, cache: string): Promise<ResolvedModel> {
  const folder = join(cache, `models--${repo.replace('/', '--')}`);
  if (!(await isDirectory(folder))) {
    const cached = await cachedRepos(cache);
    const known =
      cached.length > 0 ? `; it holds ${cached.slice(0, 5).join(', ')}${cached.length > 5 ? ', …' : ''}` : '';
    throw new ModelNotFoundError({
      source,
      reason: `there is neither a folder ${resolve(source)} nor a repository ${repo} in the cache ${cache}${known}`,
    });
  }
  const commit = (await readRef(join(folder, 'refs', revision))) ?? revision;
  const dir = join(folder, 'snapshots', commit);
  if (!(await isDirectory(dir))) {
    throw new ModelNotFoundError({ source, reason: `${folder} has no revision ${revision}` });
  }
  return { dir, repo, commit };
}

/** The cache folder, by huggingface_hub's rules; the environment is read when a model is looked for. */
function hubCache(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  return HF_HUB_CACHE ?? HUGGINGFACE_HUB_CACHE ?? join(home, 'hub');
}

async function cachedRepos(cache: string): Promise<string[]> {
  const names = await readdir(cache).catch(() => []);
  return names
    .filter((name) => name.startsWith('models--'))
    .map((name) => name.slice('models--'.length).replace('--', '/'))
    .sort();
}

async function readRef(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}
