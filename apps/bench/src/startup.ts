import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { count, oneFolder, readArguments, UsageError } from './arguments';
import { dropCaches, dropObstacle } from './cgroup';
import type { GenerateFigures, StartFigures } from './generate-once';
import { machine } from './machine';
import { noise, type OwnRun, runOwn } from './own-process';
import { fillPageCache } from './page-cache';
import { madeUpConfig, SHAPE_NAMES } from './shapes';
import { writeSparse } from './sparse-checkpoint';
import { placeTokenizer } from './tokenizer-files';
import { bytes, head, row } from './units';

export const usage = `bench startup <checkpoint> [--memory 4GiB] [--rounds 3]
bench startup --shape ${SHAPE_NAMES.join('|')} | --config <config.json> [--memory 4GiB] [--rounds 3]
                  [--tokenizer <folder with tokenizer.json>] [--work <folder>]
                  (a made-up checkpoint takes no room: its weights are holes, so only the first read is timed)`;

interface Case {
  readonly name: string;
  /** Before each run. */
  readonly prepare: () => Promise<void>;
  readonly runs: OwnRun<Pick<GenerateFigures, 'cpuSeconds'> & Partial<GenerateFigures>>[];
}

/**
 * From process start until everything is imported, the first weights are asked for, the model is open (tokenizer
 * included), and the first token is there.
 */
export async function run(args: string[]): Promise<void> {
  const { values, positionals } = readArguments(args, {
    shape: undefined,
    config: undefined,
    memory: undefined,
    rounds: '3',
    tokenizer: undefined,
    work: tmpdir(),
  });
  const rounds = count(values.rounds, 'rounds');
  const memory = values.memory === undefined ? [] : ['--memory', values.memory];
  const config = await madeUpConfig(values);
  if (config === undefined) {
    const dir = oneFolder(positionals, usage);
    await measure(dir, rounds, [...memory, '--new', '1'], () => fillPageCache(dir));
    return;
  }
  if (positionals.length > 0) throw new UsageError(usage);
  const dir = await mkdtemp(path.join(values.work, 'airllm-startup-'));
  try {
    console.log(`${bytes(await writeSparse(dir, config))} of weights, as holes`);
    if (values.tokenizer !== undefined) await placeTokenizer(dir, values.tokenizer);
    await measure(
      dir,
      rounds,
      [...(memory.length > 0 ? memory : ['--memory', '4GiB']), '--until', 'first-read'],
      NOTHING,
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Of holes there is nothing to be read. */
const NOTHING = async () => {};

async function measure(
  dir: string,
  rounds: number,
  options: readonly string[],
  warmUp: () => Promise<void>,
): Promise<void> {
  const once = ['generate-once', dir, ...options];
  const cases: Case[] = [{ name: 'warm', prepare: warmUp, runs: [] }];
  const obstacle = dropObstacle();
  if (obstacle === null) cases.push({ name: 'cold', prepare: async () => dropCaches(), runs: [] });
  // Brings programs and headers into memory.
  await runOwn({}, once);
  for (let round = 0; round < rounds; round++) {
    for (const { prepare, runs } of cases) {
      await prepare();
      runs.push(await runOwn({}, once));
    }
  }
  console.log(await machine(dir));
  console.log(head(TITLES));
  for (const each of cases) console.log(row(cells(each)));
  if (obstacle !== null) console.log(`a cold page cache ${obstacle}`);
}

const TITLES = [
  'page cache',
  'imported s',
  'first weights asked for s',
  '(all)',
  'open s',
  'first token s',
  '(all)',
  'processor s',
  'computed with in the page cache',
  'other cores',
];

/** The best of each figure by itself. */
function cells({ name, runs }: Case): string[] {
  const since = (of: (figures: Partial<StartFigures>) => number | null | undefined) =>
    runs.flatMap(({ figures, startedAt }) => {
      const at = of(figures);
      return typeof at === 'number' ? [(at - startedAt) / 1000] : [];
    });
  const best = (seconds: readonly number[]) => (seconds.length === 0 ? '–' : Math.min(...seconds).toFixed(3));
  const all = (seconds: readonly number[]) => seconds.map((each) => each.toFixed(3)).join(' ') || '–';
  const reads = since(({ firstReadAt }) => firstReadAt);
  const tokens = since(({ firstTokenAt }) => firstTokenAt);
  return [
    name,
    best(since(({ importedAt }) => importedAt)),
    best(reads),
    all(reads),
    best(since(({ openedAt }) => openedAt)),
    best(tokens),
    all(tokens),
    Math.min(...runs.map(({ figures }) => figures.cpuSeconds)).toFixed(2),
    runs.map(({ figures }) => bytes(figures.mappedBytes ?? 0)).join(' '),
    noise(runs),
  ];
}
