import { rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { CacheLayout } from '../hub/cache/cache-layout';
import type { CachedFile, CachedModel, CachedSnapshot } from './list-cached';
import { type RemovedModel, type RemoveOptions, removeCached } from './remove-cached';
import { withLocks } from './with-locks';

/**
 * Removes the GGUF files of one of the `quantisations` of snapshots, as far as nothing else needs them; a snapshot that has
 * no other weights goes as a whole. Throws `CacheInUseError`.
 */
export async function removeQuantisation(
  model: CachedModel,
  quantisation: string,
  { snapshots = model.snapshots, dryRun }: RemoveOptions = {},
): Promise<RemovedModel> {
  const holding = snapshots.filter(({ quantisations }) => quantisations.some(({ name }) => name === quantisation));
  if (holding.length > 0 && holding.every(hasNothingElse)) return removeCached(model, { snapshots: holding, dryRun });
  const going = new Set(holding.flatMap((snapshot) => filesOf(snapshot, quantisation)));
  const staying = model.snapshots.flatMap(({ files }) => files.filter((file) => !going.has(file)));
  const needed = new Set(staying.map(({ blob }) => blob));
  const sizes = new Map([...going].map(({ blob, bytes }) => [blob, bytes]));
  const free = [...sizes.keys()].filter((blob) => !needed.has(blob));
  if (dryRun !== true) {
    const layout = new CacheLayout(dirname(model.dir), model.repo);
    await withLocks(dirname(layout.lock('')), model.repo, async () => {
      for (const { commit, files } of holding) {
        for (const file of files) if (going.has(file)) await rm(layout.pointer(commit, file.name), { force: true });
      }
      for (const blob of free) {
        await rm(blob, { force: true });
        await rm(layout.journal(basename(blob)), { force: true });
      }
    });
  }
  const sum = (blobs: Iterable<string>) => [...blobs].reduce((bytes, blob) => bytes + sizes.get(blob)!, 0);
  const bytesFreed = sum(free);
  return { repo: model.repo, commits: [], whole: false, bytesFreed, bytesShared: sum(sizes.keys()) - bytesFreed };
}

function hasNothingElse({ format, quantisations }: CachedSnapshot): boolean {
  return format === 'gguf' && quantisations.length === 1;
}

function filesOf({ files, quantisations }: CachedSnapshot, quantisation: string): CachedFile[] {
  const names = quantisations.filter(({ name }) => name === quantisation).flatMap((each) => each.files);
  return files.filter(({ name }) => names.includes(name));
}
