import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { OptionError } from '@airllm/loader';
import { ModelNotFoundError } from '../../errors';
import {
  type CachedSnapshot,
  CacheLayout,
  cachedRepos,
  findCached,
  HubUnavailableError,
  hubCache,
  isOffline,
  nearestNames,
  type PullOptions,
  parseAddress,
  pullModel,
} from '../../hub';

/** Where a model is looked for, and how it is downloaded if it is not here. */
export interface ResolveModelOptions
  extends Pick<
    PullOptions,
    'endpoint' | 'token' | 'weights' | 'quantisation' | 'retry' | 'stallTimeoutMs' | 'onProgress' | 'onDelay'
  > {
  /** The Hugging Face hub cache. @defaultValue HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub */
  readonly cacheDir?: string | undefined;
  /** Branch, tag or commit of a repository. @defaultValue main */
  readonly revision?: string | undefined;
  /** Takes what the cache has, and never asks the network. @defaultValue HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where a model's files are. */
export interface ResolvedModel {
  /** Folder with config.json and the weights. */
  readonly dir: string;
  /** Where a file was named, or a repository's weights are GGUF: the (first) file. */
  readonly file?: string;
  /** For a repository: `org/name` and the commit that was found. */
  readonly repo?: string;
  readonly commit?: string;
}

/** A name becomes a path below the cache and must stay there: no part of it is `..`. */
const REVISION = /^(?!.*(^|\/)\.{1,2}(\/|$))(?!\/)[\w./-]+$/;

/**
 * Finds a model: a folder, a file with weights, or a repository: `org/name`, `org/name@revision`, `org/name:Q4_K_M` (of
 * several GGUF files), `org/name@revision:Q4_K_M`. What is there of that name goes first. A repository that is not, or not wholly, in the Hugging Face cache (shared with Python's huggingface_hub) is downloaded there; one that is
 * there is taken as it is, without asking the network whether it has changed: {@link pullModel} does.
 * Throws `ModelNotFoundError`, which says where it looked, `OptionError`, and what {@link pullModel} throws.
 */
export async function resolveModel(source: string, options: ResolveModelOptions = {}): Promise<ResolvedModel> {
  const found = await lookUpModel(source, options);
  if ('here' in found) return found.here;
  const { repo, revision, quantisation, layout, cached } = found;
  const { cacheDir } = layout;
  try {
    await pullModel(repo, { ...options, cacheDir, revision, quantisation, offline: false });
  } catch (error) {
    // What can be run is better than nothing: perhaps it never had a tokenizer.
    if (cached?.weights && HubUnavailableError.isInstance(error)) return resolved(repo, cached);
    throw error;
  }
  const pulled = await findCached(layout, revision, { ...options, quantisation }, options.signal);
  if (pulled) return resolved(repo, pulled);
  throw new ModelNotFoundError({ source, reason: `it has just been removed from the cache ${cacheDir}` });
}

/** A model that the cache has not, or not wholly. */
export interface ModelToDownload {
  readonly repo: string;
  readonly revision: string;
  readonly quantisation: string | undefined;
  readonly layout: CacheLayout;
  /** What there is of it. */
  readonly cached: CachedSnapshot | undefined;
}

/** Looks where a model is, without asking the network. Throws `ModelNotFoundError`, `OptionError`. */
export async function lookUpModel(
  source: string,
  options: ResolveModelOptions = {},
): Promise<{ readonly here: ResolvedModel } | ModelToDownload> {
  // A variable that is not set; as a path it would mean the present folder.
  if (typeof source !== 'string' || source.trim() === '') {
    throw new OptionError({ option: 'source', expected: 'a folder, a file or a repository id', found: source });
  }
  options.signal?.throwIfAborted();
  const path = resolve(source);
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) return { here: { dir: path } };
  if (found?.isFile()) return { here: { dir: dirname(path), file: path } };
  const address = parseAddress(source);
  if (address === undefined) throw new ModelNotFoundError({ source, reason: `there is no folder or file ${path}` });
  const { repo, revision = options.revision ?? 'main', quantisation = options.quantisation } = address;
  if (!REVISION.test(revision)) throw new ModelNotFoundError({ source, reason: `${revision} cannot be a revision` });
  const layout = new CacheLayout(options.cacheDir ?? hubCache(), repo);
  const cached = await findCached(layout, revision, { ...options, quantisation }, options.signal);
  if (cached && (cached.isComplete || isOffline(options.offline))) {
    if (OptionError.isInstance(cached.problem)) throw cached.problem;
    return { here: resolved(repo, cached) };
  }
  if (isOffline(options.offline)) throw await notFound(source, layout, revision);
  return { repo, revision, quantisation, layout, cached };
}

function resolved(repo: string, { dir, commit, weights }: CachedSnapshot): ResolvedModel {
  const gguf = weights?.find((path) => path.endsWith('.gguf'));
  return { dir, ...(gguf === undefined ? {} : { file: join(dir, gguf) }), repo, commit };
}

async function notFound(source: string, layout: CacheLayout, revision: string): Promise<ModelNotFoundError> {
  const { repo, root, cacheDir } = layout;
  const cached = await cachedRepos(cacheDir);
  const offline = 'the network is not to be used (offline, HF_HUB_OFFLINE)';
  if (cached.includes(repo)) {
    return new ModelNotFoundError({ source, reason: `${root} has no revision ${revision}, and ${offline}` });
  }
  const near = nearestNames(repo, cached);
  const known = cached.length > 0 ? `; it holds ${cached.slice(0, 5).join(', ')}${cached.length > 5 ? ', …' : ''}` : '';
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : known;
  return new ModelNotFoundError({
    source,
    reason: `there is neither a folder ${resolve(source)} nor a repository ${repo} in the cache ${cacheDir}, and ${offline}${hint}`,
  });
}
