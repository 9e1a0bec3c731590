import { count, readFolderAndOptions, UsageError } from './arguments';
import { readCap, sizes } from './byte-sizes';
import { cgroupObstacle, dropCaches, dropObstacle } from './cgroup';
import type { GenerateFigures } from './generate-once';
import { machine } from './machine';
import { noise, type OwnRun, runOwn } from './own-process';
import type { PredictFigures } from './predict-once';
import { bytes, head, percent, rate, row } from './units';

export const usage = `bench estimate <checkpoint> [--memory 2GiB,8GiB,16GiB] [--read-bps 600MiB] [--pairs 3] [--new 4]
                      (budgets by default: next to nothing, half, and all of the weights resident; --read-bps needs root)`;

/** Seconds a token was predicted to take, by measuring the machine for a moment, against those it then took, in turn. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: undefined,
    'read-bps': undefined,
    pairs: '3',
    new: '4',
  });
  const pairs = count(values.pairs, 'pairs');
  const obstacle = values['read-bps'] === undefined ? null : cgroupObstacle();
  if (obstacle !== null) throw new UsageError(usage, obstacle);
  const read = readCap(values['read-bps'], dir);
  const budgets = values.memory === undefined ? await threeBudgets(dir) : sizes(values.memory, 'memory');
  console.log(await machine(dir));
  console.log(head(TITLES));
  for (const memory of budgets) {
    const predicted: PredictFigures[] = [];
    const runs: OwnRun<GenerateFigures>[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const options = [dir, '--memory', String(memory), '--new', values.new];
      predicted.push((await runOwn<PredictFigures>({ read }, ['predict-once', ...options])).figures);
      if (dropObstacle() === null) dropCaches();
      runs.push(await runOwn<GenerateFigures>({ read }, ['generate-once', ...options]));
    }
    const { residentBytes, weightBytes, binds } = predicted[0]!;
    const expected = median(predicted.map(({ seconds }) => seconds));
    const measured = median(runs.flatMap(({ figures }) => figures.tokenSeconds));
    const cells = [
      bytes(memory),
      `${bytes(residentBytes)} of ${bytes(weightBytes)}`,
      rate(median(predicted.map(({ diskBytesPerSecond }) => diskBytesPerSecond))),
      rate(median(predicted.map(({ dramBytesPerSecond }) => dramBytesPerSecond))),
      binds,
      expected.toFixed(3),
      measured.toFixed(3),
      percent(expected / measured - 1, 1),
      noise(runs),
    ];
    console.log(row(cells));
  }
}

const TITLES = [
  'memory',
  'resident',
  'disk',
  'DRAM',
  'limit',
  'predicted s/token',
  'measured s/token',
  'predicted too long by',
  'other cores',
];

/** Just above the least that works, half the weights, and all of them. */
async function threeBudgets(dir: string): Promise<number[]> {
  const { figures } = await runOwn<PredictFigures>({}, ['predict-once', dir]);
  const { floorBytes, weightBytes } = figures;
  // The process is not of the same size in every run.
  const slack = 64e6;
  return [0, 0.5, 1.05].map((share) => Math.ceil(floorBytes + slack + share * weightBytes));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}
