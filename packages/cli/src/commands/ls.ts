import { type CachedModel, parseAddress } from '@airllm/runtime';
import { cacheArgs } from '../args/model';
import { reportArgs } from '../args/output';
import {
  type CacheContents,
  cacheContents,
  formatName,
  incompleteness,
  revisionName,
  sourceName,
} from '../cache/contents';
import { defineCommand } from '../command';
import { EXIT } from '../exit-codes';
import { formatAge } from '../output/age';
import { columns } from '../output/columns';
import { formatBytes } from '../output/units';

export const ls = defineCommand({
  name: 'ls',
  summary: 'Lists the models that are on this machine: downloaded ones, and converted and split copies.',
  positionals: [],
  details: [
    'Downloaded models lie in the Hugging Face cache, which other programs share: all of it is listed, whoever downloaded it. A converted copy was made by the first run of a model whose stored layout cannot be computed with (stale: its source has changed; incomplete: its making was interrupted; the next run puts both right). A split copy was written by airllm shard.',
  ],
  examples: [
    ['airllm ls', 'names, sizes, formats, revisions and last use'],
    ['airllm ls --json | jq ".models[].repo"', 'for programs'],
  ],
  groups: { cache: cacheArgs, output: reportArgs },
  async run({ terminal }, _, values) {
    const contents = await cacheContents(values.cache);
    await (values.output.json ? terminal.printJson(contents) : terminal.print(listing(contents)));
    return EXIT.ok;
  },
});

function listing(contents: CacheContents): string {
  const { models, converted, sharded } = contents;
  const copies = converted.map(({ name, state, bytes, source }) => {
    const from = source === null ? '' : `from ${sourceName(source, models)}`;
    return [name, formatBytes(bytes), `converted, ${state}`, from];
  });
  const splits = sharded.map(({ dir, bytes, source }) => {
    return [dir, formatBytes(bytes), 'split', `from ${sourceName(source, models)}`];
  });
  const downloaded = columns(models.flatMap(modelRows));
  const others = columns([...copies, ...splits]);
  return [downloaded, others].filter((part) => part !== '').join('\n');
}

function modelRows(model: CachedModel): string[][] {
  const { repo, snapshots, partialBytes, lastUsed } = model;
  const used = lastUsed === null ? '' : `used ${formatAge(lastUsed)}`;
  const rows = snapshots.flatMap((snapshot) => {
    const rest = [revisionName(snapshot), used, incompleteness(snapshot)];
    if (snapshot.format !== 'gguf') return [[repo, formatBytes(snapshot.bytes), formatName(snapshot), ...rest]];
    // By the names that run and rm take.
    return snapshot.quantisations.map(({ name, bytes }) => {
      const isAddress = parseAddress(`${repo}:${name}`) !== undefined;
      return [isAddress ? `${repo}:${name}` : repo, formatBytes(bytes), 'gguf', ...rest];
    });
  });
  const partial = partialBytes === 0 ? [] : [[repo, formatBytes(partialBytes), 'parts of a download', '', '', '']];
  return [...rows, ...partial];
}
