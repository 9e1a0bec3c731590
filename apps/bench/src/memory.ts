import { mkdtemp, readdir, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { count, readFolderAndOptions, UsageError } from './arguments';
import { sizes } from './byte-sizes';
import { cgroupObstacle, dropCaches } from './cgroup';
import type { GenerateFigures } from './generate-once';
import type { TokenizerFigures } from './load-tokenizer';
import { machine } from './machine';
import { type OwnRun, runOwn } from './own-process';
import { isTokenizerFile, placeTokenizer } from './tokenizer-files';
import { bytes, head, percent, row } from './units';

export const usage = `bench memory <checkpoint> [--memory 500MB,700MB,1GB,2GB,4GB] [--new 3] [--prompt 16]
                  [--tokenizer <folder with tokenizer.json> | --vocabulary 128256]
                  (Linux, root: memory is capped in a cgroup; with a made-up tokenizer, since its size counts)`;

/** Peak of the cgroup against the budget, with a tokenizer as large as those of today's models. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: '500MB,700MB,1GB,2GB,4GB',
    new: '3',
    prompt: '16',
    tokenizer: undefined,
    vocabulary: '128256',
  });
  const budgets = sizes(values.memory, 'memory');
  const vocabulary = count(values.vocabulary, 'vocabulary');
  const obstacle = cgroupObstacle();
  if (obstacle !== null) throw new UsageError(usage, obstacle);
  const work = await mkdtemp(path.join(tmpdir(), 'airllm-memory-'));
  try {
    await linkCheckpoint(dir, work);
    await placeTokenizer(work, values.tokenizer ?? vocabulary);
    const { figures: tokenizer }: OwnRun<TokenizerFigures> = await runOwn({}, ['load-tokenizer', work]);
    console.log(await machine(dir));
    console.log(`the tokenizer alone: ${bytes(tokenizer.bytes)}, ${tokenizer.seconds.toFixed(2)} s`);
    console.log(
      head(['budget', 'peak of the cgroup', 'peak : budget', 'peak of the process', 'resident', 's/token (best)']),
    );
    for (const memory of budgets)
      console.log(row(await cells(work, memory, ['--new', values.new, '--prompt', values.prompt])));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function cells(dir: string, memory: number, more: readonly string[]): Promise<string[]> {
  dropCaches();
  const once = ['generate-once', dir, '--memory', String(memory), ...more];
  try {
    const { figures, peakBytes }: OwnRun<GenerateFigures> = await runOwn({ memory }, once);
    return [
      bytes(memory),
      bytes(peakBytes),
      percent(peakBytes / memory, 1),
      bytes(figures.peakBytes),
      `${bytes(figures.residentBytes)} of ${bytes(figures.weightBytes)}`,
      Math.min(...figures.tokenSeconds).toFixed(2),
    ];
  } catch (error) {
    // A budget below the floor is an answer too.
    const reason = /^\w*Error: .*$/m.exec((error as Error).message)?.[0] ?? (error as Error).message;
    return [bytes(memory), reason, '–', '–', '–', '–'];
  }
}

/** Everything but the tokenizer, as links. */
async function linkCheckpoint(dir: string, work: string): Promise<void> {
  const source = await realpath(dir);
  for (const name of await readdir(source)) {
    if (!isTokenizerFile(name)) await symlink(path.join(source, name), path.join(work, name));
  }
}
