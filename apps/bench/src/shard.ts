import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { splitCheckpoint, verifyShards } from '@airllm/shard';
import { readOptions } from './arguments';
import { machine } from './machine';
import { SHAPE_NAMES, shapeConfig } from './shapes';

export const usage = `bench shard [--source <checkpoint>] [--shape ${SHAPE_NAMES.join('|')}] [--layers 8]
                  [--rounds 3] [--concurrency N] [--work <dir>]`;

const execute = promisify(execFile);

/**
 * Compares a split with the drive's own copy speed: `cp` of the same files plus fsync. Rounds alternate between the
 * two, the page cache dropped before each (with root), and the best of each counts, since shared drives drift.
 */
export async function run(args: string[]): Promise<void> {
  const values = readOptions(args, {
    source: undefined,
    shape: 'llama-8b',
    layers: '8',
    rounds: '3',
    concurrency: undefined,
    work: os.tmpdir(),
    once: undefined,
  });
  const concurrency = values.concurrency === undefined ? undefined : Number(values.concurrency);
  if (values.once !== undefined) return splitOnce(values.source!, values.once, concurrency);

  const work = await mkdtemp(path.join(values.work, 'airllm-bench-'));
  try {
    const source = values.source ?? (await makeSource(path.join(work, 'source'), values.shape, Number(values.layers)));
    const bytes = await folderBytes(source);
    console.log(await machine(work));
    console.log(`source: ${(bytes / 1e9).toFixed(2)} GB`);
    const copies: number[] = [];
    const splits: number[] = [];
    const verifies: number[] = [];
    let peak = 0;
    for (let round = 1; round <= Number(values.rounds); round++) {
      const cold = await dropCaches();
      copies.push(await timedCopy(source, path.join(work, 'copy')));
      await dropCaches();
      const split = await measuredSplit(source, path.join(work, 'split'), concurrency);
      splits.push(split.seconds);
      verifies.push(split.verifySeconds);
      peak = Math.max(peak, split.peakMB);
      const rate = (seconds: number) => `${(bytes / seconds / 1e9).toFixed(2)} GB/s`;
      console.log(
        `round ${round}${cold ? '' : ' (warm cache: not root)'}: cp ${rate(copies.at(-1)!)}, ` +
          `split ${rate(split.seconds)}, verify ${rate(split.verifySeconds)}, peak RSS ${split.peakMB.toFixed(0)} MB`,
      );
    }
    const ratio = Math.min(...copies) / Math.min(...splits);
    console.log(`split : cp = ${(ratio * 100).toFixed(0)} %, peak RSS ${peak.toFixed(0)} MB`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function makeSource(dir: string, shape: string, layers: number): Promise<string> {
  // On demand: the measured process must not hold the runtime.
  const { writeSynthetic } = await import('./synthetic');
  await writeSynthetic(dir, shapeConfig(shape), { layers });
  return dir;
}

/** A split in a process of its own, so that its peak is its own too. */
async function measuredSplit(source: string, target: string, concurrency: number | undefined) {
  const bin = fileURLToPath(import.meta.url);
  const entry = path.join(path.dirname(bin), 'bin.js');
  const more = concurrency === undefined ? [] : ['--concurrency', String(concurrency)];
  const { stdout } = await execute(process.execPath, [entry, 'shard', '--source', source, '--once', target, ...more]);
  await rm(target, { recursive: true });
  return JSON.parse(stdout) as { seconds: number; verifySeconds: number; peakMB: number };
}

async function splitOnce(source: string, target: string, concurrency: number | undefined): Promise<void> {
  const split = await splitCheckpoint(source, target, { concurrency, onProgress: () => {} });
  const peakMB = process.resourceUsage().maxRSS / 1024;
  await dropCaches();
  const verified = await verifyShards(target, { concurrency });
  console.log(JSON.stringify({ seconds: split.seconds, verifySeconds: verified.seconds, peakMB }));
}

async function timedCopy(source: string, target: string): Promise<number> {
  await mkdir(target);
  const started = performance.now();
  const names = (await readdir(source)).map((name) => path.join(source, name));
  // Bytes have to be moved: a file system that can share blocks would not measure the drive.
  await execute('cp', [...(process.platform === 'linux' ? ['--reflink=never'] : []), ...names, target]);
  for (const name of await readdir(target)) {
    const handle = await open(path.join(target, name));
    await handle.sync();
    await handle.close();
  }
  const seconds = (performance.now() - started) / 1000;
  await rm(target, { recursive: true });
  return seconds;
}

/** Whether it could: only root may, and only Linux has it. */
async function dropCaches(): Promise<boolean> {
  return writeFile('/proc/sys/vm/drop_caches', '3').then(
    () => true,
    () => false,
  );
}

async function folderBytes(dir: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(dir)) bytes += (await stat(path.join(dir, name))).size;
  return bytes;
}
