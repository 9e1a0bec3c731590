import path from 'node:path';
import {
  type CachedSnapshot,
  type ConvertedCopy,
  describeCheckpoint,
  type ModelDescription,
  type ShardedCopy,
} from '@airllm/runtime';
import { cacheArgs } from '../args/model';
import { reportArgs } from '../args/output';
import { cacheContents, formatName, incompleteness, revisionName, sourceName } from '../cache/contents';
import { type Found, findInCache } from '../cache/find';
import { defineCommand } from '../command';
import { EXIT } from '../exit-codes';
import { openModelFiles } from '../model-files';
import { formatAge } from '../output/age';
import { columns } from '../output/columns';
import { table } from '../output/table';
import { formatBytes, formatCount } from '../output/units';

type FoundModel = Extract<Found, { kind: 'model' }>;

/** What `airllm show --json` prints of a downloaded model. */
interface ModelReport extends Pick<FoundModel, 'snapshots'> {
  readonly repo: string;
  readonly dir: string;
  readonly bytes: number;
  readonly partialBytes: number;
  readonly lastUsed: Date | null;
  /** By commit; absent where configuration or weights say too little. */
  readonly descriptions: Readonly<Record<string, ModelDescription>>;
  /** Copies made from these snapshots. */
  readonly converted: readonly ConvertedCopy[];
  readonly sharded: readonly ShardedCopy[];
}

export const show = defineCommand({
  name: 'show',
  summary: 'Says what there is of one model on this machine: revisions, files, where they are, copies made from it.',
  positionals: [
    {
      name: 'name',
      help: 'As airllm ls has it: org/name, org/name@revision, org/name:Q4_K_M, or a converted or split copy.',
    },
  ],
  details: ['Reads nothing but headers and configurations. airllm inspect says more of what the model is.'],
  examples: [
    ['airllm show org/name', 'all revisions that are here'],
    ['airllm show org/name@main --json', 'for programs'],
  ],
  groups: { cache: cacheArgs, output: reportArgs },
  async run({ terminal, signal }, [name], values) {
    const contents = await cacheContents(values.cache);
    const found = findInCache(name!, path.resolve(name!), contents);
    if (found.kind !== 'model') {
      const { converted, sharded, models } = contents;
      const copy =
        found.kind === 'converted'
          ? converted.find((each) => each.name === found.name)!
          : sharded.find((each) => each.dir === found.dir)!;
      const text = copyText(found.kind, copy, copy.source === null ? 'unknown' : sourceName(copy.source, models));
      await (values.output.json ? terminal.printJson({ kind: found.kind, ...copy }) : terminal.print(text));
      return EXIT.ok;
    }
    const { model, quantisation } = found;
    const snapshots = found.snapshots.map((snapshot) => only(snapshot, quantisation));
    const isFrom = ({ source }: { source: string | null }) => source?.startsWith(`${model.dir}${path.sep}`) === true;
    const descriptions: Record<string, ModelDescription> = {};
    for (const { commit, dir, quantisations } of snapshots) {
      const [gguf] = quantisations.flatMap(({ files }) => files);
      const described = await describe(gguf === undefined ? dir : path.join(dir, gguf), signal);
      if (described !== undefined) descriptions[commit] = described;
    }
    const { repo, dir, bytes, partialBytes, lastUsed } = model;
    const report: ModelReport = {
      ...{ repo, dir, bytes, partialBytes, lastUsed, snapshots, descriptions },
      converted: contents.converted.filter(isFrom),
      sharded: contents.sharded.filter(isFrom),
    };
    await (values.output.json ? terminal.printJson(report) : terminal.print(modelText(report)));
    return EXIT.ok;
  },
});

/** Of several GGUF files those of one quantisation. */
function only(snapshot: CachedSnapshot, quantisation: string | undefined): CachedSnapshot {
  if (quantisation === undefined) return snapshot;
  const quantisations = snapshot.quantisations.filter(({ name }) => name === quantisation);
  const names = quantisations.flatMap(({ files }) => files);
  const files = snapshot.files.filter(({ name }) => !name.endsWith('.gguf') || names.includes(name));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { ...snapshot, files, bytes, quantisations, quantisation };
}

function copyText(kind: string, copy: ConvertedCopy | ShardedCopy, from: string): string {
  return table([
    ['copy', 'state' in copy ? `${kind}, ${copy.state}` : kind],
    ['from', from],
    ['folder', copy.dir],
    ['on disk', formatBytes(copy.bytes)],
  ]);
}

/** Undefined where configuration and headers do not tell. */
async function describe(source: string, signal: AbortSignal): Promise<ModelDescription | undefined> {
  try {
    const { config, tensors, quantised, totalBytes, quantisation } = await openModelFiles(source, {}, signal);
    return describeCheckpoint(config, {
      ...(tensors && { tensors }),
      ...(quantised && { quantised }),
      totalBytes,
      quantisation,
    });
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function modelText(report: ModelReport): string {
  const { repo, dir, bytes, partialBytes, lastUsed, snapshots, descriptions } = report;
  const head = table([
    ['model', repo],
    ['folder', dir],
    ['on disk', formatBytes(bytes)],
    ...(partialBytes === 0 ? [] : [['unfinished', `${formatBytes(partialBytes)} of downloads`] as [string, string]]),
    ...(lastUsed === null ? [] : [['last used', formatAge(lastUsed)] as [string, string]]),
    ...[...report.converted, ...report.sharded].map((copy): [string, string] => [
      'state' in copy ? 'converted' : 'split',
      `${copy.dir}, ${formatBytes(copy.bytes)}${'state' in copy ? `, ${copy.state}` : ''}`,
    ]),
  ]);
  const parts = snapshots.map((snapshot) => {
    const described = descriptions[snapshot.commit];
    const count = described?.parameters?.count;
    const facts = [
      formatName(snapshot),
      snapshot.modelType,
      count === undefined ? undefined : `${formatCount(count)} parameters`,
      formatBytes(snapshot.bytes),
      incompleteness(snapshot),
    ].filter(Boolean);
    const files = snapshot.files.map((file) => [file.name, formatBytes(file.bytes)]);
    const missing = snapshot.missing.map((name) => [name, 'missing']);
    return `${revisionName(snapshot)}: ${facts.join(', ')}\n${columns([...files, ...missing], '  ')}`;
  });
  return [head, ...parts].join('\n');
}
