import { loadTokenizer } from '@airllm/runtime';
import { readFolderAndOptions } from './arguments';
import { cpuSeconds } from './process-usage';

export const usage = 'bench load-tokenizer <folder>';

/** What loading a tokenizer costs a process. */
export interface TokenizerFigures {
  readonly seconds: number;
  /** Of processor time, for loading alone and for the whole process. */
  readonly loadCpuSeconds: number;
  readonly cpuSeconds: number;
  /** Growth of the resident set. */
  readonly bytes: number;
}

/** Loads a tokenizer and nothing else, and prints its costs as a line of JSON. */
export async function run(args: string[]): Promise<void> {
  const { dir } = readFolderAndOptions(args, usage, {});
  const before = process.memoryUsage.rss();
  const cpuBefore = cpuSeconds();
  const start = performance.now();
  const tokenizer = await loadTokenizer(dir);
  const seconds = (performance.now() - start) / 1000;
  if (tokenizer === null) throw new Error(`${dir} has no tokenizer files`);
  const total = cpuSeconds();
  const figures: TokenizerFigures = {
    seconds,
    loadCpuSeconds: total - cpuBefore,
    cpuSeconds: total,
    bytes: process.memoryUsage.rss() - before,
  };
  console.log(JSON.stringify(figures));
}
