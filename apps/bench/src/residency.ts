import { writeFile } from 'node:fs/promises';
import { openCheckpoint } from '@airllm/loader';
import { count, numbers, readFolderAndOptions, UsageError } from './arguments';
import { readCap } from './byte-sizes';
import { cgroupObstacle, dropCaches } from './cgroup';
import type { GenerateFigures } from './generate-once';
import { machine } from './machine';
import type { MemoryRateFigures } from './memory-rate';
import { noise, type OwnRun, runOwn } from './own-process';
import { rawRate } from './raw-rate';
import { svgPlot } from './svg-plot';
import { bytes, head, percent, rate, row } from './units';

export const usage = `bench residency <checkpoint> [--percent 10,20,…,100,110] [--read-bps 600MiB] [--rounds 1] [--new 3] [--raw-gb 10]
                  [--svg residency.svg]
                  (Linux, root: memory and reads are capped in a cgroup, the page cache is dropped)`;

interface Point {
  /** Budget of the whole process. */
  readonly memory: number;
  readonly runs: OwnRun<GenerateFigures>[];
}

/**
 * Seconds per token against the budget, in per cent of the weights. Beside it the ideal: a process that takes no memory
 * itself, keeps the whole budget filled with weights, reads the rest at the raw rate of the drive, and computes at the
 * rate of memory: `max((weights − budget) / drive, weights / memory)`.
 */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    percent: '10,20,30,40,50,60,70,80,90,100,110',
    'read-bps': undefined,
    rounds: '1',
    new: '3',
    'raw-gb': '10',
    svg: undefined,
  });
  const shares = numbers(values.percent, 'percent').map((share) => share / 100);
  const rounds = count(values.rounds, 'rounds');
  const [rawGigabytes = 10] = numbers(values['raw-gb'], 'raw-gb');
  const read = readCap(values['read-bps'], dir);
  const obstacle = cgroupObstacle();
  if (obstacle !== null) throw new UsageError(usage, obstacle);

  const { byteLength: weights } = await openCheckpoint(dir);
  const points: Point[] = shares.map((share) => ({ memory: Math.round(share * weights), runs: [] }));
  let drive = 0;
  let memory = 0;
  for (let round = 0; round < rounds; round++) {
    drive = Math.max(drive, await rawRate(dir, read, rawGigabytes * 1e9));
    const { figures }: OwnRun<MemoryRateFigures> = await runOwn({}, ['memory-rate']);
    memory = Math.max(memory, figures.bytesPerSecond);
    for (const point of points) {
      dropCaches();
      const budget = String(point.memory);
      const once = ['generate-once', dir, '--memory', budget, '--new', values.new];
      point.runs.push(await runOwn({ memory: point.memory, read }, once));
    }
  }
  const ideal = (budget: number) => idealSeconds({ weights, budget, drive, memory });
  console.log(await machine(dir));
  console.log(`weights ${bytes(weights)}, drive ${rate(drive)}, memory ${rate(memory)}`);
  console.log(head(TITLES));
  for (const [i, point] of points.entries()) console.log(row(cells(shares[i]!, point, drive, ideal(point.memory))));
  if (values.svg !== undefined) await writeFile(values.svg, plot(points, weights, ideal));
}

/** What no engine can beat at a budget: see {@link run}. */
export function idealSeconds(facts: { weights: number; budget: number; drive: number; memory: number }): number {
  const { weights, budget, drive, memory } = facts;
  return Math.max((weights - budget) / drive, weights / memory);
}

const TITLES = [
  'budget',
  'of the weights',
  'resident',
  's/token (best)',
  'tokens/s',
  'bound s',
  'bound : measured',
  'ideal s',
  'ideal : measured',
  'waiting',
  'first token s',
  'peak',
  'other cores',
];

function cells(share: number, { memory, runs }: Point, drive: number, ideal: number): string[] {
  const { bytesPerToken, residentBytes, waitShare } = runs[0]!.figures;
  const best = bestSeconds(runs);
  const bound = bytesPerToken / drive;
  return [
    bytes(memory),
    percent(share),
    bytes(residentBytes),
    best.toFixed(2),
    (1 / best).toPrecision(3),
    // Where hardly anything is read the drive is no bound.
    ...(bound < best / 10 ? ['–', '–'] : [bound.toFixed(2), percent(bound / best, 1)]),
    ideal.toFixed(2),
    percent(ideal / best, 1),
    percent(waitShare),
    Math.min(...runs.map(({ figures }) => figures.firstTokenSeconds)).toFixed(2),
    percent(Math.max(...runs.map(({ peakBytes }) => peakBytes)) / memory, 1),
    noise(runs),
  ];
}

function bestSeconds(runs: readonly OwnRun<GenerateFigures>[]): number {
  return Math.min(...runs.flatMap(({ figures }) => figures.tokenSeconds));
}

function plot(points: readonly Point[], weights: number, ideal: (budget: number) => number): string {
  const last = Math.max(...points.map(({ memory }) => memory));
  const first = Math.min(...points.map(({ memory }) => memory));
  const curve = Array.from({ length: 101 }, (_, i) => first + ((last - first) * i) / 100);
  return svgPlot({
    title: `Speed against memory, ${bytes(weights)} of weights`,
    xLabel: 'memory of the whole process, GB',
    yLabel: 'tokens per second',
    yScale: 'log',
    series: [
      {
        name: 'measured',
        colour: '#0b62c4',
        points: points.map(({ memory, runs }) => [memory / 1e9, 1 / bestSeconds(runs)]),
      },
      {
        name: 'ideal: max((weights − budget) / drive, weights / memory rate)',
        colour: '#c2410c',
        dashed: true,
        points: curve.map((budget) => [budget / 1e9, 1 / ideal(budget)]),
      },
    ],
  });
}
