import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseByteSize } from '@airllm/runtime';
import { type CgroupLimits, cgroupObstacle, dropCaches, runInCgroup } from './cgroup';
import type { GenerateFigures } from './generate-once';
import { machine } from './machine';

export const usage = `bench disk <checkpoint> [--memory 4GiB,8GiB] [--read-bps 600MiB] [--pairs 3] [--new 4] [--raw-gb 4]
                  (Linux, root: memory and reads are capped in a cgroup, the page cache is dropped)`;

/**
 * The rate at which weights stream while tokens are generated, against the raw direct read of the same files, in turn;
 * and against the bound: bytes that are not resident at the raw rate.
 */
export async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      memory: { type: 'string', default: '4GiB' },
      'read-bps': { type: 'string' },
      pairs: { type: 'string', default: '3' },
      new: { type: 'string', default: '4' },
      'raw-gb': { type: 'string', default: '4' },
    },
  });
  const [dir] = positionals;
  const obstacle = cgroupObstacle();
  if (dir === undefined || obstacle !== null)
    throw new Error(`usage: ${usage}${obstacle === null ? '' : `\n${obstacle}`}`);
  const cap = values['read-bps'];
  const read = cap === undefined ? undefined : { bytesPerSecond: parseByteSize(cap, 'read-bps'), path: dir };
  console.log(await machine(dir));
  console.log(
    '| memory | resident | raw GB/s | s/token (best) | bound s | bound : measured | waiting | CPU s/token | first token s | peak |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|');
  for (const memory of values.memory.split(',')) {
    const limit = parseByteSize(memory, 'memory');
    const runs: GenerateFigures[] = [];
    let raw = 0;
    let peak = 0;
    for (let pair = 0; pair < Number(values.pairs); pair++) {
      raw = Math.max(raw, await rawRate(dir, read, values['raw-gb']));
      dropCaches();
      const command = ['generate-once', dir, '--memory', String(limit), '--new', values.new];
      const { stdout, peakBytes } = await bench({ memory: limit, read }, command);
      runs.push(JSON.parse(stdout));
      peak = Math.max(peak, peakBytes);
    }
    const best = Math.min(...runs.flatMap(({ tokenSeconds }) => tokenSeconds));
    const { weightBytes, residentBytes, bytesPerToken, waitShare, cpuSecondsPerToken } = runs[0]!;
    const bound = bytesPerToken / raw;
    console.log(
      `| ${[
        memory,
        `${gb(residentBytes)} of ${gb(weightBytes)}`,
        (raw / 1e9).toFixed(3),
        best.toFixed(2),
        bound.toFixed(2),
        `${((bound / best) * 100).toFixed(1)} %`,
        `${(waitShare * 100).toFixed(0)} %`,
        cpuSecondsPerToken.toFixed(2),
        Math.min(...runs.map(({ firstTokenSeconds }) => firstTokenSeconds)).toFixed(2),
        gb(peak),
      ].join(' | ')} |`,
    );
  }
}

/** Best of the queue depths that a drive may like. */
async function rawRate(dir: string, read: CgroupLimits['read'], gigabytes: string): Promise<number> {
  let best = 0;
  for (const depth of ['1', '4', '16']) {
    const { stdout } = await bench({ read }, ['raw-read', dir, '--depth', depth, '--gb', gigabytes]);
    best = Math.max(best, JSON.parse(stdout).bytesPerSecond);
  }
  return best;
}

async function bench(limits: CgroupLimits, args: readonly string[]) {
  const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), 'bin.js');
  const run = await runInCgroup(limits, [process.execPath, entry, ...args]);
  if (run.code !== 0) throw new Error(`${args.join(' ')} ended with ${run.code}: ${run.stderr}`);
  return run;
}

function gb(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
