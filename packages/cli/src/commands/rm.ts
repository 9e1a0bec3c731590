import path from 'node:path';
import {
  type CachedSnapshot,
  type ConvertedCopy,
  removeCached,
  removeConverted,
  removeQuantisation,
  removeSharded,
} from '@airllm/runtime';
import { cacheArgs } from '../args/model';
import { type OptionGroup, toggle } from '../args/option';
import { reportArgs } from '../args/output';
import { type CacheContents, cacheContents, isMadeFrom, isNamedAfter, revisionName } from '../cache/contents';
import { type Found, findInCache } from '../cache/find';
import { defineCommand } from '../command';
import { EXIT } from '../exit-codes';
import { formatBytes } from '../output/units';

const options = { dryRun: toggle({ help: 'Only say what would be removed.' }) };
const removalArgs: OptionGroup<typeof options> = { title: 'Removal', options };

/** Something that was removed, or would be. */
interface Removed {
  readonly what: string;
  readonly bytes: number;
  /** Bytes that another revision still needs. */
  readonly kept?: number;
}

export const rm = defineCommand({
  name: 'rm',
  summary: 'Removes a model from this machine: a downloaded one, or a converted or split copy.',
  positionals: [
    {
      name: 'name',
      help: 'As airllm ls has it: org/name, org/name@revision, org/name:Q4_K_M, a converted copy (or what it was made from), or the folder of a split one.',
    },
  ],
  details: [
    'Files that another revision needs stay. With a downloaded model go the copies that were converted from it, which would be stale; split ones stay. Nothing outside the caches is removed but split copies that are named.',
    'What is being downloaded is not removed. Nothing is asked; --dry-run tells beforehand.',
  ],
  examples: [
    ['airllm rm org/name', 'every revision'],
    ['airllm rm org/name@8ac3f1d --dry-run', 'how much would that free?'],
    ['airllm rm org/name-GGUF:Q8_0', 'one of several GGUF files'],
    ['airllm rm ./model.gguf', 'its converted copy, never the file'],
  ],
  groups: { removal: removalArgs, cache: cacheArgs, output: reportArgs },
  async run({ terminal }, [name], values) {
    const { dryRun = false } = values.removal;
    const contents = await cacheContents(values.cache);
    const found = findInCache(name!, path.resolve(name!), contents);
    const removed = await remove(found, contents, { ...values.cache, dryRun });
    const bytes = removed.reduce((sum, each) => sum + each.bytes, 0);
    if (values.output.json) await terminal.printJson({ dryRun, bytes, removed });
    else for (const each of removed) await terminal.print(line(each, dryRun));
    return EXIT.ok;
  },
});

type Options = { readonly cacheDir?: string; readonly dryRun: boolean };

async function remove(found: Found, contents: CacheContents, options: Options): Promise<Removed[]> {
  switch (found.kind) {
    case 'model': {
      const { model, snapshots, quantisation } = found;
      if (quantisation !== undefined) return removeGguf(found, quantisation, contents, options);
      const from = (some: readonly CachedSnapshot[], copy: ConvertedCopy) =>
        some.some((snapshot) => isMadeFrom(copy.source, snapshot));
      const staying = model.snapshots.filter((snapshot) => !snapshots.includes(snapshot));
      const isBegun = ({ name, source }: ConvertedCopy) =>
        source === null && staying.length === 0 && isNamedAfter(name, model.repo);
      const copies = contents.converted.filter(
        (copy) => (from(snapshots, copy) && !from(staying, copy)) || isBegun(copy),
      );
      const { bytesFreed, bytesShared, whole } = await removeCached(model, { snapshots, dryRun: options.dryRun });
      const what = whole ? model.repo : `${model.repo} ${snapshots.map(revisionName).join(', ')}`;
      return [{ what, bytes: bytesFreed, kept: bytesShared }, ...(await removeCopies(copies, options))];
    }
    case 'converted':
      return removeCopies(
        contents.converted.filter(({ name }) => name === found.name),
        options,
      );
    case 'sharded': {
      const bytes = contents.sharded.find(({ dir }) => dir === found.dir)!.bytes;
      const removed = options.dryRun ? undefined : await removeSharded(found.dir, options);
      return [{ what: found.dir, bytes: removed?.bytes ?? bytes }];
    }
  }
}

/** The copies that were converted from these very files go with them. */
async function removeGguf(
  { model, snapshots }: Extract<Found, { kind: 'model' }>,
  quantisation: string,
  contents: CacheContents,
  options: Options,
): Promise<Removed[]> {
  const blobs = snapshots.flatMap(({ files, quantisations }) => {
    const names = quantisations.filter(({ name }) => name === quantisation).flatMap((each) => each.files);
    return files.filter(({ name }) => names.includes(name)).map(({ blob }) => blob);
  });
  const copies = contents.converted.filter(({ source }) => source !== null && blobs.includes(source));
  const { dryRun } = options;
  const { bytesFreed, bytesShared } = await removeQuantisation(model, quantisation, { snapshots, dryRun });
  const what = `${model.repo}:${quantisation} ${snapshots.map(revisionName).join(', ')}`;
  return [{ what, bytes: bytesFreed, kept: bytesShared }, ...(await removeCopies(copies, options))];
}

async function removeCopies(copies: readonly ConvertedCopy[], options: Options): Promise<Removed[]> {
  for (const { name } of options.dryRun ? [] : copies) await removeConverted(name, options);
  return copies.map(({ dir, bytes }) => ({ what: dir, bytes }));
}

function line({ what, bytes, kept = 0 }: Removed, dryRun: boolean): string {
  const stays = kept === 0 ? '' : ` (${formatBytes(kept)} stay, another revision needs them)`;
  return `${dryRun ? 'would remove' : 'removed'} ${what}, ${formatBytes(bytes)}${stays}\n`;
}
