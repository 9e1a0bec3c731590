import { count, readFolderAndOptions, UsageError } from './arguments';
import { readCap, sizes } from './byte-sizes';
import { cgroupObstacle, dropCaches } from './cgroup';
import type { GenerateFigures } from './generate-once';
import { machine } from './machine';
import { noise, type OwnRun, runOwn } from './own-process';
import { rawRate } from './raw-rate';
import { bytes, head, percent, row } from './units';

export const usage = `bench disk <checkpoint> [--memory 4GiB,8GiB] [--read-bps 600MiB] [--pairs 3] [--new 4]
                  (Linux, root: memory and reads are capped in a cgroup, the page cache is dropped)`;

/**
 * The rate at which weights stream while tokens are generated, against the raw direct read of as many bytes of the same
 * files, in turn: the best of each, and the ratio within each pair, for a drive that drifts. (Fewer bytes would flatter the raw read: a cap on reads lets the first of them through at once.)
 */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: '4GiB',
    'read-bps': undefined,
    pairs: '3',
    new: '4',
  });
  const limits = sizes(values.memory, 'memory');
  const pairs = count(values.pairs, 'pairs');
  const read = readCap(values['read-bps'], dir);
  const obstacle = cgroupObstacle();
  if (obstacle !== null) throw new UsageError(usage, obstacle);
  console.log(await machine(dir));
  console.log(head(TITLES));
  for (const [i, memory] of limits.entries()) {
    const runs: OwnRun<GenerateFigures>[] = [];
    const shares: number[] = [];
    let raw = 0;
    for (let pair = 0; pair < pairs; pair++) {
      dropCaches();
      const once = ['generate-once', dir, '--memory', String(memory), '--new', values.new];
      const run: OwnRun<GenerateFigures> = await runOwn({ memory, read }, once);
      runs.push(run);
      const { bytesPerToken, tokenSeconds } = run.figures;
      const beside = await rawRate(dir, read, Math.max(MIN_RAW_BYTES, bytesPerToken));
      shares.push(bytesPerToken / beside / Math.min(...tokenSeconds));
      raw = Math.max(raw, beside);
    }
    shares.sort((a, b) => a - b);
    const best = Math.min(...runs.flatMap(({ figures }) => figures.tokenSeconds));
    const { weightBytes, residentBytes, bytesPerToken, waitShare, cpuSecondsPerToken } = runs[0]!.figures;
    const bound = bytesPerToken / raw;
    const cells = [
      values.memory.split(',')[i]!,
      `${bytes(residentBytes)} of ${bytes(weightBytes)}`,
      (raw / 1e9).toFixed(3),
      best.toFixed(2),
      bound.toFixed(2),
      percent(bound / best, 1),
      [shares[0]!, shares[Math.floor(shares.length / 2)]!, shares.at(-1)!].map((share) => percent(share, 1)).join(' '),
      percent(waitShare),
      cpuSecondsPerToken.toFixed(2),
      Math.min(...runs.map(({ figures }) => figures.firstTokenSeconds)).toFixed(2),
      bytes(Math.max(...runs.map(({ peakBytes }) => peakBytes))),
      noise(runs),
    ];
    console.log(row(cells));
  }
}

/** Where everything is resident a token reads nothing. */
const MIN_RAW_BYTES = 1e9;

const TITLES = [
  'memory',
  'resident',
  'raw GB/s',
  's/token (best)',
  'bound s',
  'bound : measured',
  'pairs: least, median, most',
  'waiting',
  'CPU s/token',
  'first token s',
  'peak',
  'other cores',
];
