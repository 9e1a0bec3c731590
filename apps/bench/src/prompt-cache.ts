import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseByteSize } from '@airllm/runtime';
import { readFolderAndOptions, UsageError } from './arguments';
import { readCap } from './byte-sizes';
import { type CgroupLimits, cgroupObstacle, dropCaches, dropObstacle } from './cgroup';
import { machine } from './machine';
import { noise, type OwnRun, runOwn } from './own-process';
import type { PromptCacheFigures } from './prompt-cache-once';
import { bytes, head, percent, row } from './units';

export const usage = `bench prompt-cache <checkpoint> [--memory 4GB] [--read-bps 600MiB] [--prompt 4096] [--question 32] [--new 4]
                   [--kv-cache-dtype bfloat16] [--file <file>] [--compare]
                 (a second question about the same document, with --memory streamed, without resident)`;

/** Seconds to the first token of a second question about a document, against those of the first and against a pass. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: undefined,
    'read-bps': undefined,
    prompt: '4096',
    question: '32',
    new: '4',
    'kv-cache-dtype': 'bfloat16',
    file: undefined,
    compare: false,
  });
  const memory = values.memory === undefined ? undefined : parseByteSize(values.memory, '--memory');
  const read = readCap(values['read-bps'], dir);
  const limits: CgroupLimits = { memory, read };
  const obstacle = memory === undefined && read === undefined ? null : cgroupObstacle();
  if (obstacle !== null) throw new UsageError(usage, obstacle);
  const file = values.file ?? join(dir, '.airllm-bench-prompt-cache.safetensors');
  if (dropObstacle() === null) dropCaches();
  try {
    const lengths = ['--prompt', values.prompt, '--question', values.question, '--new', values.new];
    const granted = memory === undefined ? [] : ['--memory', String(memory)];
    const kept = [
      '--file',
      file,
      '--kv-cache-dtype',
      values['kv-cache-dtype'],
      ...(values.compare ? ['--compare'] : []),
    ];
    const run: OwnRun<PromptCacheFigures> = await runOwn(limits, [
      'prompt-cache-once',
      dir,
      ...lengths,
      ...granted,
      ...kept,
    ]);
    console.log(await machine(dir));
    console.log(head(TITLES));
    console.log(row(cells(run)));
    if (!run.figures.same) process.exitCode = 1;
  } finally {
    await rm(file, { force: true });
  }
}

const TITLES = [
  'prompt',
  'from the file',
  'streamed/token',
  'first question s',
  'second s',
  'second : first',
  'pass s',
  'second in passes',
  'peak',
  'other cores',
];

function cells({ figures, peakBytes, otherCores }: OwnRun<PromptCacheFigures>): string[] {
  const { firstSeconds, secondSeconds, passSeconds } = figures;
  return [
    `${figures.promptTokens} tokens`,
    String(figures.cachedTokens),
    bytes(figures.streamedBytes),
    firstSeconds.toFixed(2),
    secondSeconds.toFixed(3),
    percent(secondSeconds / firstSeconds, 1),
    passSeconds.toFixed(3),
    (secondSeconds / passSeconds).toFixed(2),
    bytes(peakBytes || figures.peakBytes),
    noise([{ otherCores }]),
  ];
}
