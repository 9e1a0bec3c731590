import path from 'node:path';
import { parseByteSize } from '@airllm/runtime';
import { type AirllmOptions, type AirllmRun, largestBatch } from './airllm-batch';
import { installAirllm } from './airllm-python';
import { count, readFolderAndOptions, UsageError } from './arguments';
import type { BatchFigures, PassFigures } from './batch-once';
import { readCap } from './byte-sizes';
import { type CgroupLimits, cgroupObstacle, dropCaches } from './cgroup';
import { machine } from './machine';
import { defaultCache } from './npm-install';
import { noise, type OwnRun, runOwn } from './own-process';
import { bytes, head, percent, row } from './units';

export const usage = `bench batch <checkpoint> [--memory 4GB] [--read-bps 600MiB] [--sequences 64] [--prompt 32] [--new 32] [--alone-new 4]
            [--rounds 1] [--together-new 32] [--sides alone,together,airllm] [--airllm-new 4] [--python <with airllm>]
            [--cache <folder>] [--split <folder>]
                              (Linux, root: memory and reads are capped in a cgroup, the page cache is dropped; without
                              --memory and --read-bps nothing is capped. airllm is installed by pip into the cache, and
                              keeps a copy of the checkpoint in --split, <checkpoint>-airllm unless told)`;

type Side = 'alone' | 'together' | 'airllm';
const SIDES: readonly Side[] = ['alone', 'together', 'airllm'];

/**
 * Tokens per second of many sequences together against one alone, each at its best in the same memory: the one alone
 * keeps pinned weights where the others keep keys and values; and against the largest batch that AirLLM can make of them
 * there. Where fewer tokens are generated than are asked about, the time of the further ones is the mean of those after
 * the first.
 */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: undefined,
    'read-bps': undefined,
    sequences: '64',
    prompt: '32',
    new: '32',
    'alone-new': '4',
    rounds: '1',
    'together-new': undefined,
    sides: 'alone,together',
    'airllm-new': '4',
    python: undefined,
    cache: defaultCache(),
    split: undefined,
  });
  const newTokens = count(values.new, 'new');
  const run = (given: string) => Math.max(2, Math.min(newTokens, count(given, 'new')));
  const sequences = count(values.sequences, 'sequences');
  const sides = sidesOf(values.sides);
  const memory = values.memory === undefined ? undefined : parseByteSize(values.memory, '--memory');
  const read = readCap(values['read-bps'], dir);
  const limits: CgroupLimits = { memory, read };
  const capped = memory !== undefined || read !== undefined;
  const obstacle = capped ? cgroupObstacle() : null;
  if (obstacle !== null) throw new UsageError(usage, obstacle);

  console.log(await machine(dir));
  const once = (count: number, tokens: number): Promise<OwnRun<BatchFigures>> => {
    if (capped) dropCaches();
    const shared = ['--prompt', values.prompt, ...(memory === undefined ? [] : ['--memory', String(memory)])];
    return runOwn(limits, ['batch-once', dir, '--sequences', String(count), '--new', String(tokens), ...shared]);
  };
  const alone: OwnRun<BatchFigures>[] = [];
  const together: OwnRun<BatchFigures>[] = [];
  for (let round = 0; round < count(values.rounds, 'rounds'); round++) {
    if (sides.has('alone')) alone.push(await once(1, run(values['alone-new'])));
    if (sides.has('together')) together.push(await once(sequences, run(values['together-new'] ?? values.new)));
  }
  const peer = sides.has('airllm')
    ? await airllm(values.cache, values.python, {
        dir,
        split: values.split ?? `${path.resolve(dir)}-airllm`,
        limits,
        sequences,
        prompt: count(values.prompt, 'prompt'),
        tokens: run(values['airllm-new']),
      })
    : undefined;

  const [any] = [...alone, ...together];
  if (any !== undefined) {
    const { isa, computeDtype, weightBytes } = any.figures;
    console.log(`weights ${bytes(weightBytes)}, ${computeDtype} on ${isa}, prompts of ${values.prompt} tokens`);
  }
  if (peer !== undefined) console.log(toldOf(peer));
  console.log(head(TITLES));
  const one = rateOf(alone, 1, newTokens);
  const many = rateOf(together, sequences, newTokens);
  if (one !== undefined) console.log(row([title(1, newTokens, alone), ...cells(1, one, alone, memory)]));
  if (many !== undefined) {
    console.log(row([title(sequences, newTokens, together), ...cells(sequences, many, together, memory)]));
  }
  const theirs = peer && airllmRate(peer, newTokens);
  if (peer !== undefined) console.log(row(airllmCells(peer, newTokens, theirs!, memory)));
  if (one !== undefined && many !== undefined) compare(alone, together, many / one);
  if (theirs !== undefined && many !== undefined) console.log(`${(many / theirs).toFixed(2)} × AirLLM’s best batch`);
}

function sidesOf(given: string): ReadonlySet<Side> {
  const sides = given.split(',');
  const odd = sides.find((side) => !SIDES.includes(side as Side));
  if (odd !== undefined) throw new UsageError(usage, `--sides: expected some of ${SIDES.join(', ')}, found ${odd}`);
  return new Set(sides as Side[]);
}

async function airllm(
  cache: string,
  given: string | undefined,
  options: Omit<AirllmOptions, 'python'>,
): Promise<AirllmRun> {
  const installed = await installAirllm(cache, given);
  if ('obstacle' in installed) throw new UsageError(usage, installed.obstacle);
  return largestBatch({ ...options, ...installed });
}

/** What its passes were, since it is not ours to know. */
function toldOf({ sequences, run }: AirllmRun): string {
  const { rows, versions } = run.figures;
  const [first, ...others] = rows;
  const grows = others.some((count) => count > sequences);
  const cached = grows ? 'runs whole texts in every pass' : 'keeps keys and values';
  return `${versions}: one padded batch of ${sequences}, ${first} rows in the first pass and ${others[0]} in others (${cached})`;
}

/** Tokens per second of all batches that the sequences come to, one after the other. */
function airllmRate({ sequences, run }: AirllmRun, tokens: number): number {
  const { firstSeconds, stepSeconds } = run.figures;
  return (sequences * tokens) / (firstSeconds + (tokens - 1) * mean(stepSeconds));
}

function airllmCells({ sequences, run }: AirllmRun, tokens: number, rate: number, memory?: number): string[] {
  const { rows, stepSeconds, bytesPerPass } = run.figures;
  return [
    `AirLLM, ${sequences} of ${tokens} tokens, ${rows.length} run`,
    rate.toPrecision(3),
    String(rows.length),
    mean(rows).toFixed(1),
    `${Math.max(...rows)} rows`,
    mean(stepSeconds).toFixed(3),
    bytes(bytesPerPass),
    '0 MB',
    memory === undefined ? '–' : percent(run.peakBytes / memory, 1),
    noise([run]),
  ];
}

function compare(alone: readonly OwnRun<BatchFigures>[], together: readonly OwnRun<BatchFigures>[], ratio: number) {
  const { rows, chosen } = together[0]!.figures.rowLimit;
  console.log(`${ratio.toFixed(1)} × the tokens per second; at the end ${rows} rows a pass (${chosen})`);
  const { ids } = alone[0]!.figures;
  const same = together.every((run) =>
    ids.slice(0, run.figures.ids.length).every((id, i) => run.figures.ids[i] === id),
  );
  console.log(`tokens of the first sequence alone and in company: ${same ? 'the same' : 'DIFFERENT'}`);
  if (!same) process.exitCode = 1;
}

function title(sequences: number, tokens: number, [first]: readonly OwnRun<BatchFigures>[]): string {
  const generated = first!.figures.newTokens / sequences;
  return `${sequences} of ${tokens} tokens${generated < tokens ? `, ${generated} run` : ''}`;
}

const TITLES = [
  'sequences',
  'tokens/s',
  'passes',
  'rows/pass',
  'widest pass',
  's/pass, decoding',
  'read/pass',
  'resident',
  'peak',
  'other cores',
];

function cells(sequences: number, tokensPerSecond: number, runs: readonly OwnRun<BatchFigures>[], memory?: number) {
  const { passes, bytesPerPass, residentBytes } = runs[0]!.figures;
  const rows = passes.reduce((sum, pass) => sum + pass.rows, 0);
  const peak = Math.max(...runs.map(({ peakBytes, figures }) => peakBytes || figures.peakBytes));
  return [
    tokensPerSecond.toPrecision(3),
    String(passes.length),
    (rows / passes.length).toFixed(1),
    `${Math.max(...passes.map((pass) => pass.rows))} rows`,
    decodingSeconds(passes, sequences).toFixed(3),
    bytes(bytesPerPass),
    bytes(residentBytes),
    memory === undefined ? bytes(peak) : percent(peak / memory, 1),
    noise(runs),
  ];
}

/** Tokens per second of the best run; undefined where there is none. */
function rateOf(runs: readonly OwnRun<BatchFigures>[], sequences: number, tokens: number): number | undefined {
  if (runs.length === 0) return undefined;
  return Math.max(...runs.map(({ figures }) => (sequences * tokens) / extrapolated(figures, sequences, tokens)));
}

/** Seconds that `tokens` tokens of each sequence take, of which perhaps only the first few were generated. */
function extrapolated({ seconds, passes, newTokens }: BatchFigures, sequences: number, tokens: number): number {
  const left = tokens - newTokens / sequences;
  return left === 0 ? seconds : seconds + left * decodingSeconds(passes, sequences);
}

/** Mean of the passes that read no prompts; the first also reads what then stays in memory. */
function decodingSeconds(passes: readonly PassFigures[], sequences: number): number {
  return mean(passes.slice(1).flatMap(({ rows, seconds }) => (rows <= sequences ? [seconds] : [])));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
