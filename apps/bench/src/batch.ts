import { parseArgs } from 'node:util';
import { parseByteSize } from '@airllm/runtime';
import { count, oneFolder, readCap, UsageError } from './arguments';
import type { BatchFigures, PassFigures } from './batch-once';
import { type CgroupLimits, cgroupObstacle, dropCaches } from './cgroup';
import { machine } from './machine';
import { noise, type OwnRun, runOwn } from './own-process';
import { bytes, head, percent, row } from './units';

export const usage = `bench batch <checkpoint> [--memory 4GB] [--read-bps 600MiB] [--sequences 64] [--prompt 32] [--new 32] [--alone-new 4]
            [--rounds 1]      (Linux, root: memory and reads are capped in a cgroup, the page cache is dropped; without
                              --memory and --read-bps nothing is capped)`;

/**
 * Tokens per second of many sequences together against one alone, each at its best in the same memory: the one alone
 * keeps pinned weights where the others keep keys and values. It generates `--alone-new` tokens; the time of the further
 * ones is the mean of those after the first.
 */
export async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      memory: { type: 'string' },
      'read-bps': { type: 'string' },
      sequences: { type: 'string', default: '64' },
      prompt: { type: 'string', default: '32' },
      new: { type: 'string', default: '32' },
      'alone-new': { type: 'string', default: '4' },
      rounds: { type: 'string', default: '1' },
    },
  });
  const dir = oneFolder(positionals, usage);
  const newTokens = count(values.new, 'new');
  const aloneTokens = Math.max(2, Math.min(newTokens, count(values['alone-new'], 'alone-new')));
  const sequences = count(values.sequences, 'sequences');
  const memory = values.memory === undefined ? undefined : parseByteSize(values.memory, '--memory');
  const read = readCap(values['read-bps'], dir);
  const limits: CgroupLimits = { memory, read };
  const capped = memory !== undefined || read !== undefined;
  const obstacle = capped ? cgroupObstacle() : null;
  if (obstacle !== null) throw new UsageError(usage, obstacle);

  const once = (count: number, tokens: number): Promise<OwnRun<BatchFigures>> => {
    if (capped) dropCaches();
    const shared = ['--prompt', values.prompt, ...(memory === undefined ? [] : ['--memory', String(memory)])];
    return runOwn(limits, ['batch-once', dir, '--sequences', String(count), '--new', String(tokens), ...shared]);
  };
  const alone: OwnRun<BatchFigures>[] = [];
  const together: OwnRun<BatchFigures>[] = [];
  for (let round = 0; round < count(values.rounds, 'rounds'); round++) {
    alone.push(await once(1, aloneTokens));
    together.push(await once(sequences, newTokens));
  }
  const { isa, computeDtype, weightBytes, ids } = alone[0]!.figures;
  console.log(await machine(dir));
  console.log(`weights ${bytes(weightBytes)}, ${computeDtype} on ${isa}, prompts of ${values.prompt} tokens`);
  console.log(head(TITLES));
  const one = best(alone.map(({ figures }) => newTokens / extrapolated(figures, newTokens)));
  const many = best(together.map(({ figures }) => figures.newTokens / figures.seconds));
  console.log(row([`1 of ${newTokens} tokens, ${aloneTokens} run`, ...cells(1, one, alone, memory)]));
  console.log(row([`${sequences} of ${newTokens} tokens`, ...cells(sequences, many, together, memory)]));
  const { rows, chosen } = together[0]!.figures.rowLimit;
  console.log(`${(many / one).toFixed(1)} × the tokens per second; at the end ${rows} rows a pass (${chosen})`);
  const same = together.every(({ figures }) => ids.every((id, i) => figures.ids[i] === id));
  console.log(`tokens of the first sequence alone and in company: ${same ? 'the same' : 'DIFFERENT'}`);
  if (!same) process.exitCode = 1;
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

/** Seconds that `tokens` tokens take, of which only the first few were generated. */
function extrapolated({ seconds, passes, newTokens }: BatchFigures, tokens: number): number {
  return seconds + (tokens - newTokens) * decodingSeconds(passes, 1);
}

/** Mean of the passes that read no prompts; the first also reads what then stays in memory. */
function decodingSeconds(passes: readonly PassFigures[], sequences: number): number {
  const decoding = passes.slice(1).filter(({ rows }) => rows <= sequences);
  return decoding.reduce((sum, { seconds }) => sum + seconds, 0) / decoding.length;
}

function best(values: readonly number[]): number {
  return Math.max(...values);
}
