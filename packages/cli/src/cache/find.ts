import type { CachedModel, CachedSnapshot } from '@airllm/runtime';
import { UsageError } from '../errors';
import { nearest } from '../nearest';
import { type CacheContents, shortCommit } from './contents';

/** Something of the cache that a name means. */
export type Found =
  | { readonly kind: 'model'; readonly model: CachedModel; readonly snapshots: readonly CachedSnapshot[] }
  | { readonly kind: 'converted'; readonly name: string }
  | { readonly kind: 'sharded'; readonly dir: string };

/**
 * What a name means: a repository, all of it or one revision; a converted copy, by name or by what it was made from; a
 * split checkpoint, by its folder. `path` is the name as an absolute path. Throws `UsageError` with the nearest name.
 */
export function findInCache(name: string, path: string, contents: CacheContents): Found {
  const [repo, revision] = name.split('@') as [string, string?];
  const model = contents.models.find((each) => each.repo === repo);
  if (model !== undefined) return { kind: 'model', model, snapshots: snapshotsOf(model, revision) };
  const copy = contents.converted.find((each) => each.name === name || each.dir === path || each.source === path);
  if (copy !== undefined) return { kind: 'converted', name: copy.name };
  const split = contents.sharded.find(({ dir }) => dir === path);
  if (split !== undefined) return { kind: 'sharded', dir: split.dir };
  const names = [
    ...contents.models.map((each) => each.repo),
    ...contents.converted.map((each) => each.name),
    ...contents.sharded.map(({ dir }) => dir),
  ];
  throw new UsageError(`there is no "${name}" in the cache; airllm ls lists what there is`, nearest(name, names));
}

/** A branch or tag as it was when last asked for, or the beginning of a commit. */
function snapshotsOf({ repo, snapshots }: CachedModel, revision: string | undefined): readonly CachedSnapshot[] {
  if (revision === undefined) return snapshots;
  const named = snapshots.filter(({ refs }) => refs.includes(revision));
  if (named.length > 0) return named;
  const found = revision.length < 4 ? [] : snapshots.filter(({ commit }) => commit.startsWith(revision));
  if (found.length === 1) return found;
  const known = snapshots.flatMap(({ commit, refs }) => [...refs, shortCommit(commit)]).join(', ');
  const what = found.length > 1 ? `${found.length} revisions begin with` : 'there is no revision';
  throw new UsageError(`${repo}: ${what} ${revision}; there is ${known}`);
}
