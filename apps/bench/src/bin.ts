import { isUsageError } from './arguments';
import type { Bench } from './bench';

// Imported on demand: a bench must not pay for what the others load.
const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  disk: () => import('./disk'),
  residency: () => import('./residency'),
  resident: () => import('./resident'),
  startup: () => import('./startup'),
  tokenizer: () => import('./tokenizer'),
  memory: () => import('./memory'),
  attention: () => import('./attention'),
  batch: () => import('./batch'),
  gpu: () => import('./gpu'),
  'prompt-cache': () => import('./prompt-cache'),
  state: () => import('./state'),
  estimate: () => import('./estimate'),
  shard: () => import('./shard'),
  download: () => import('./download'),
  synthetic: () => import('./synthetic-bench'),
  speculate: () => import('./speculate'),
  // Processes that the others run.
  'batch-once': () => import('./batch-once'),
  'generate-once': () => import('./generate-once'),
  'prompt-cache-once': () => import('./prompt-cache-once'),
  'resident-once': () => import('./resident-once'),
  'state-once': () => import('./state-once'),
  'speculate-once': () => import('./speculate-once'),
  'node-llama-once': () => import('./node-llama-once'),
  'load-tokenizer': () => import('./load-tokenizer'),
  'memory-rate': () => import('./memory-rate'),
  'predict-once': () => import('./predict-once'),
  'serve-hub': () => import('./serve-hub'),
  'pull-once': () => import('./pull-once'),
  'raw-read': () => import('./raw-read'),
};

const [name = '', ...args] = process.argv.slice(2);
const load = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (load === undefined) {
  for (const each of Object.values(benches)) console.error((await each()).usage);
  process.exitCode = 2;
} else {
  try {
    await (await load()).run(args);
  } catch (error) {
    if (!isUsageError(error)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
