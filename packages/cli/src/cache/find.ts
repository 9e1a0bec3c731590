import { type CachedModel, type CachedSnapshot, type ModelAddress, parseAddress } from '@airllm/runtime';
import { UsageError } from '../errors';
import { nearest } from '../nearest';
import { type CacheContents, shortCommit } from './contents';

/** Something of the cache that a name means. */
export type Found =
  | {
      readonly kind: 'model';
      readonly model: CachedModel;
      readonly snapshots: readonly CachedSnapshot[];
      /** One of theirs; undefined for all that there is. */
      readonly quantisation: string | undefined;
    }
  | { readonly kind: 'converted'; readonly name: string }
  | { readonly kind: 'sharded'; readonly dir: string };

/**
 * What a name means: a repository, all of it, one revision or one quantisation; a converted copy, by name or by what it was made from; a
 * split checkpoint, by its folder. `path` is the name as an absolute path. Throws `UsageError` with the nearest name.
 */
export function findInCache(name: string, path: string, contents: CacheContents): Found {
  const address = parseAddress(name);
  const model = contents.models.find((each) => each.repo === address?.repo);
  if (model !== undefined) return { kind: 'model', model, ...holding(model, address!) };
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

/** The revisions that have the quantisation, called as they call it. */
function holding(model: CachedModel, { revision, quantisation: asked }: ModelAddress) {
  const snapshots = snapshotsOf(model, revision);
  if (asked === undefined) return { snapshots, quantisation: undefined };
  const names = new Set(snapshots.flatMap(({ quantisations }) => quantisations.map(({ name }) => name)));
  const quantisation = [...names].find((name) => name.toLowerCase() === asked.toLowerCase());
  if (quantisation === undefined) {
    const known = names.size === 0 ? 'nothing in GGUF' : [...names].sort().join(', ');
    throw new UsageError(`${model.repo}: there is no ${asked} here; there is ${known}`, nearest(asked, [...names]));
  }
  const has = ({ quantisations }: CachedSnapshot) => quantisations.some(({ name }) => name === quantisation);
  return { snapshots: snapshots.filter(has), quantisation };
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
