import { parseArgs } from 'node:util';
import { pullModel } from '@airllm/runtime';
import { REPO } from './hub-process';

export const usage = 'bench pull-once --endpoint <url> --cache <folder>   (one download, for `download`)';

export interface PullFigures {
  readonly seconds: number;
  readonly bytesReceived: number;
  readonly dir: string;
}

/** Downloads the served model; figures go to stdout. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { endpoint: { type: 'string' }, cache: { type: 'string' } } });
  const started = performance.now();
  const { bytesReceived, dir } = await pullModel(REPO, {
    endpoint: values.endpoint,
    cacheDir: values.cache,
    token: false,
    offline: false,
  });
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ seconds, bytesReceived, dir } satisfies PullFigures));
}
