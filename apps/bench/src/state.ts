import { existsSync } from 'node:fs';
import path from 'node:path';
import { openCheckpoint } from '@airllm/loader';
import { buildModel, parseByteSize, stateBytes } from '@airllm/runtime';
import { count, numbers, readFolderAndOptions, UsageError } from './arguments';
import { readCap } from './byte-sizes';
import { type CgroupLimits, cgroupObstacle, dropCaches, dropObstacle } from './cgroup';
import { machine } from './machine';
import { noise, type OwnRun, runOwn } from './own-process';
import { rawRate } from './raw-rate';
import { shapeConfig } from './shapes';
import type { StateFigures } from './state-once';
import { writeSynthetic } from './synthetic';
import { bytes, head, percent, rate, row } from './units';

export const usage = `bench state <checkpoint> [--memory 1GB] [--times 4 | --context 32768] [--read-bps 600MiB] [--new 4] [--rounds 1]
            [--raw-gb 5] [--kv-cache-dtype float32] [--kv-cache-dir <folder>] [--shape llama-70b] [--layers 4]
                 (keys and values of a context that come to --times the memory, or of --context tokens; with --shape the
                  checkpoint is made where it is not there; Linux, root: memory and reads are capped in a
                  cgroup, the page cache is dropped; without root nothing is)`;

/**
 * Tokens behind a context whose keys and values are several times the memory of the whole process, against the time that
 * the drive needs for the bytes that have to be read: the weights that are not resident, and the keys and values.
 */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: '1GB',
    times: '4',
    context: undefined,
    shape: undefined,
    layers: undefined,
    'read-bps': undefined,
    new: '4',
    rounds: '1',
    'raw-gb': '5',
    'kv-cache-dtype': 'float32',
    'kv-cache-dir': undefined,
  });
  await makeCheckpoint(dir, values.shape, values.layers);
  const memory = parseByteSize(values.memory, '--memory');
  const [times = 4] = numbers(values.times, 'times');
  const [rawGigabytes = 5] = numbers(values['raw-gb'], 'raw-gb');
  const stateDir = values['kv-cache-dir'] ?? dir;
  const read = readCap(values['read-bps'], dir);
  const capped = cgroupObstacle() === null;
  if (!capped && read !== undefined) throw new UsageError(usage, cgroupObstacle()!);
  const limits: CgroupLimits = capped ? { memory, read } : {};

  const kvCacheDtype = values['kv-cache-dtype'] as 'float32';
  const context =
    values.context === undefined
      ? await contextOf(dir, times * memory, kvCacheDtype)
      : count(values.context, 'context');
  let drive = 0;
  const runs: OwnRun<StateFigures>[] = [];
  for (let round = 0; round < count(values.rounds, 'rounds'); round++) {
    drive = Math.max(drive, await rawRate(dir, read, rawGigabytes * 1e9));
    if (dropObstacle() === null) dropCaches();
    const place = ['--kv-cache-dtype', kvCacheDtype, '--kv-cache-dir', stateDir];
    const length = ['--context', String(context), '--new', values.new, '--memory', String(memory)];
    runs.push(await runOwn(limits, ['state-once', dir, ...length, ...place]));
  }
  console.log(await machine(dir));
  console.log(`context of ${context} tokens in ${kvCacheDtype}, drive ${rate(drive)}`);
  console.log(head(TITLES));
  for (const each of runs) console.log(row(cells(each, memory, drive)));
}

/** A checkpoint of a named shape, unless there is one. */
async function makeCheckpoint(dir: string, shape: string | undefined, layers: string | undefined): Promise<void> {
  if (shape === undefined || existsSync(path.join(dir, 'config.json'))) return;
  await writeSynthetic(dir, shapeConfig(shape), { layers: layers === undefined ? undefined : count(layers, 'layers') });
}

/** Positions whose keys and values come to so many bytes. */
async function contextOf(dir: string, wanted: number, kvCacheDtype: 'float32'): Promise<number> {
  const checkpoint = await openCheckpoint(dir);
  const model = buildModel(checkpoint.config, checkpoint, { kvCacheDtype });
  const step = 1024;
  return Math.max(32, Math.round((wanted / stateBytes(model, step, 1)) * step));
}

const TITLES = [
  'budget',
  'keys and values',
  ': budget',
  'weights',
  'resident',
  'read/token, weights',
  'states',
  'written',
  's/token (best)',
  'bound s',
  'bound : measured',
  'waiting',
  'peak : budget',
  'other cores',
];

function cells({ figures, peakBytes, otherCores }: OwnRun<StateFigures>, memory: number, drive: number): string[] {
  const { weightBytesPerToken, stateBytesPerToken, stateBytesWrittenPerToken, tokenSeconds } = figures;
  const best = Math.min(...tokenSeconds);
  const bound = (weightBytesPerToken + stateBytesPerToken) / drive;
  return [
    bytes(memory),
    bytes(figures.stateBytes),
    `${(figures.stateBytes / memory).toFixed(1)} ×`,
    bytes(figures.weightBytes),
    bytes(figures.residentBytes),
    bytes(weightBytesPerToken),
    bytes(stateBytesPerToken),
    bytes(stateBytesWrittenPerToken),
    best.toFixed(2),
    bound.toFixed(2),
    percent(bound / best, 1),
    percent(figures.waitShare),
    percent((peakBytes || figures.peakBytes) / memory, 1),
    noise([{ otherCores }]),
  ];
}
