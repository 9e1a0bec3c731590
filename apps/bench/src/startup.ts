import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { count, oneFolder, UsageError } from './arguments';
import { dropCaches, dropObstacle } from './cgroup';
import type { GenerateFigures, StartFigures } from './generate-once';
import { machine } from './machine';
import { noise, type OwnRun, runOwn } from './own-process';
import { SHAPE_NAMES, shapeConfig } from './shapes';
import { writeSparse } from './sparse-checkpoint';
import { placeTokenizer } from './tokenizer-files';
import { bytes, head, row } from './units';

export const usage = `bench startup <checkpoint> [--memory 4GiB] [--rounds 3]
bench startup --shape ${SHAPE_NAMES.join('|')} | --config <config.json> [--memory 4GiB] [--rounds 3]
                  [--tokenizer <folder with tokenizer.json>] [--work <folder>]
                  (a made-up checkpoint takes no room: its weights are holes, so only the first read is timed)`;

interface Case {
  readonly name: string;
  readonly cold: boolean;
  readonly args: readonly string[];
  readonly runs: OwnRun<StartFigures & Partial<GenerateFigures>>[];
}

/** From process start until the first weights are asked for, and until the first token is there. */
export async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      shape: { type: 'string' },
      config: { type: 'string' },
      memory: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      tokenizer: { type: 'string' },
      work: { type: 'string', default: tmpdir() },
    },
  });
  const rounds = count(values.rounds, 'rounds');
  const memory = values.memory === undefined ? [] : ['--memory', values.memory];
  const config = await madeUp(values);
  if (config === undefined) {
    const dir = oneFolder(positionals, usage);
    await measure(dir, rounds, [...memory, '--new', '1']);
    return;
  }
  if (positionals.length > 0) throw new UsageError(usage);
  const dir = await mkdtemp(path.join(values.work, 'airllm-startup-'));
  try {
    console.log(`${bytes(await writeSparse(dir, config))} of weights, as holes`);
    if (values.tokenizer !== undefined) await placeTokenizer(dir, values.tokenizer);
    await measure(dir, rounds, [...(memory.length > 0 ? memory : ['--memory', '4GiB']), '--until', 'first-read']);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function madeUp(values: { shape?: string | undefined; config?: string | undefined }) {
  if (values.config !== undefined) return JSON.parse(await readFile(values.config, 'utf8'));
  if (values.shape === undefined) return undefined;
  const config = shapeConfig(values.shape);
  if (config === undefined) throw new UsageError(usage, `unknown shape ${values.shape}`);
  return config;
}

async function measure(dir: string, rounds: number, options: readonly string[]): Promise<void> {
  const once = ['generate-once', dir, ...options];
  const cases: Case[] = [{ name: 'warm', cold: false, args: once, runs: [] }];
  const obstacle = dropObstacle();
  if (obstacle === null) cases.push({ name: 'cold', cold: true, args: once, runs: [] });
  // Fills the page cache.
  await runOwn({}, once);
  for (let round = 0; round < rounds; round++) {
    // Warm before cold: a cold run may leave the cache half full, so that it is filled once more.
    for (const { cold, args, runs } of cases) {
      if (cold) dropCaches();
      else if (round > 0) await runOwn({}, args);
      runs.push(await runOwn({}, args));
    }
  }
  console.log(await machine(dir));
  console.log(
    head(['page cache', 'first weights asked for, s (best)', '(all)', 'first token s (best)', 'other cores']),
  );
  for (const { name, runs } of cases) {
    const reads = runs.map(({ figures, startedAt }) => (figures.firstReadAt - startedAt) / 1000);
    const tokens = runs.map(({ figures, startedAt }) => (figures.firstTokenAt - startedAt) / 1000);
    const token = Math.min(...tokens);
    const all = reads.map((seconds) => seconds.toFixed(3)).join(' ');
    const cells = [Math.min(...reads).toFixed(3), all, token > 0 ? token.toFixed(2) : '–', noise(runs)];
    console.log(row([name, ...cells]));
  }
  if (obstacle !== null) console.log(`a cold page cache ${obstacle}`);
}
