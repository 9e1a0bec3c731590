import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { openCheckpoint } from '@airllm/loader';
import { count, readFolderAndOptions } from './arguments';
import { writeLlamaGguf } from './llama-gguf';
import { machine } from './machine';
import type { MemoryRateFigures } from './memory-rate';
import { installNodeLlama } from './node-llama';
import { defaultCache } from './npm-install';
import { noise, type OwnRun, runOwn } from './own-process';
import { fillPageCache } from './page-cache';
import type { ResidentFigures } from './resident-once';
import { head, percent, rate, row } from './units';

export const usage = `bench resident <checkpoint> [--rounds 3] [--prompt 512] [--new 32] [--cache <folder>] [--gguf <file>]
                  [--compute-dtype float32,bfloat16]
                  (node-llama-cpp is installed into the cache folder; the GGUF, as large as the checkpoint, is made there)`;

/** An engine that takes part, with the arguments of its process. */
interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  /** File or folder of its weights, which are in the page cache when it starts. */
  readonly weights: string;
  readonly runs: OwnRun<ResidentFigures>[];
}

/**
 * Decode, prefill and the first token with all weights in memory, in each compute dtype, against node-llama-cpp with the same bits as GGUF, in
 * turn; decode also against the rate at which memory can be read.
 */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    rounds: '3',
    prompt: '512',
    new: '32',
    cache: defaultCache(),
    gguf: undefined,
    'compute-dtype': 'float32,bfloat16',
  });
  const rounds = count(values.rounds, 'rounds');
  const sizes = ['--prompt', values.prompt, '--new', values.new];
  const contenders: Contender[] = values['compute-dtype'].split(',').map((dtype) => ({
    name: `airllm, ${dtype}`,
    command: ['resident-once', dir, ...sizes, '--compute-dtype', dtype],
    weights: dir,
    runs: [],
  }));
  const peer = await preparePeer(dir, values.cache, values.gguf);
  const theirs: Contender | undefined =
    'command' in peer
      ? { name: 'node-llama-cpp', command: [...peer.command, ...sizes], weights: peer.file, runs: [] }
      : undefined;
  const all = theirs === undefined ? contenders : [...contenders, theirs];

  let memory = 0;
  for (let round = 0; round < rounds; round++) {
    const { figures }: OwnRun<MemoryRateFigures> = await runOwn({}, ['memory-rate']);
    memory = Math.max(memory, figures.bytesPerSecond);
    for (const { command, weights, runs } of all) {
      await fillPageCache(weights);
      runs.push(await runOwn({}, command));
    }
  }

  console.log(await machine(dir));
  console.log(`memory ${rate(memory)}, best of ${rounds} rounds in turn`);
  console.log(head(TITLES(values.prompt)));
  const weights = await bytesPerToken(dir);
  for (const contender of all) console.log(row(cells(contender, weights, memory)));
  if ('obstacle' in peer) console.log(row(['node-llama-cpp', peer.obstacle, ...Array(5).fill('–')]));
  if (theirs !== undefined) for (const ours of contenders) console.log(ratios(ours, theirs));
}

async function preparePeer(
  dir: string,
  cache: string,
  gguf: string | undefined,
): Promise<{ command: readonly string[]; file: string } | { obstacle: string }> {
  const installed = await installNodeLlama(cache);
  if ('obstacle' in installed) return installed;
  const file = gguf ?? path.join(cache, `${path.basename(path.resolve(dir))}-bf16.gguf`);
  try {
    await mkdir(path.dirname(file), { recursive: true });
    if (!existsSync(file)) await writeLlamaGguf(dir, file);
  } catch (error) {
    return { obstacle: (error as Error).message };
  }
  return { command: ['node-llama-once', file, '--installed', installed.folder], file };
}

const TITLES = (prompt: string) => [
  'engine',
  'decode tok/s',
  'decode GB/s',
  'of memory',
  `prefill ${prompt} tok/s`,
  'first token warm s',
  'other cores',
];

function cells(contender: Contender, weights: number, memory: number): string[] {
  const { decode, prefill, firstToken } = best(contender);
  return [
    contender.name,
    decode.toFixed(2),
    ((decode * weights) / 1e9).toFixed(1),
    percent((decode * weights) / memory, 1),
    prefill.toFixed(1),
    firstToken.toFixed(2),
    noise(contender.runs),
  ];
}

function best({ runs }: Contender): { decode: number; prefill: number; firstToken: number } {
  return {
    decode: Math.max(...runs.flatMap(({ figures }) => figures.decode)),
    prefill: Math.max(...runs.flatMap(({ figures }) => figures.prefill)),
    firstToken: Math.min(...runs.map(({ figures, startedAt }) => figures.firstTokenAt - startedAt)) / 1000,
  };
}

function ratios(ours: Contender, theirs: Contender): string {
  const [a, b] = [best(ours), best(theirs)];
  const [left, right] = [ours.runs[0]!.figures.ids, theirs.runs[0]!.figures.ids];
  const differs = left.findIndex((id, i) => id !== right[i]);
  const same = differs < 0 ? left.length : differs;
  return (
    `${ours.name} : ${theirs.name}: decode ${(a.decode / b.decode).toFixed(2)} ×, prefill ${(a.prefill / b.prefill).toFixed(2)} ×, ` +
    `first token in ${percent(a.firstToken / b.firstToken)} of the time; the first ${same} of ${left.length} greedy tokens are the same`
  );
}

/** What one token reads of memory: everything but the embedding, of which it needs one row. */
async function bytesPerToken(dir: string): Promise<number> {
  const { tensors, byteLength, config } = await openCheckpoint(dir);
  const embedding = tensors.get('model.embed_tokens.weight');
  return byteLength - (config?.tie_word_embeddings === true ? 0 : (embedding?.byteLength ?? 0));
}
