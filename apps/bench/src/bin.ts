import type { Bench } from './bench';

// Imported on demand: a bench must not pay for what the others load.
const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  disk: () => import('./disk'),
  'generate-once': () => import('./generate-once'),
  'raw-read': () => import('./raw-read'),
  shard: () => import('./shard'),
  synthetic: () => import('./synthetic-bench'),
};

const [name = '', ...args] = process.argv.slice(2);
const load = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (load === undefined) {
  for (const each of Object.values(benches)) console.error((await each()).usage);
  process.exitCode = 2;
} else {
  await (await load()).run(args);
}
