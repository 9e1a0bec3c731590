import { openSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { pullModel } from '@airllm/runtime';
import { readOptions } from './arguments';
import { REPO } from './hub-process';

export const usage =
  'bench pull-once --endpoint <url> --cache <folder> [--count <file>]   (one download, for `download`)';

export interface PullFigures {
  readonly seconds: number;
  readonly bytesReceived: number;
  readonly dir: string;
}

/** What is told on stdout when bytes begin to come. */
export const BEGUN = 'begun';

/** Downloads the served model; figures go to stdout. */
export async function run(args: string[]): Promise<void> {
  const values = readOptions(args, {
    endpoint: undefined,
    cache: undefined,
    count: undefined,
  });
  if (values.count !== undefined) countReceived(values.count);
  let begun = false;
  const started = performance.now();
  const { bytesReceived, dir } = await pullModel(REPO, {
    endpoint: values.endpoint,
    cacheDir: values.cache,
    token: false,
    offline: false,
    onProgress: () => {
      if (!begun) console.log(BEGUN);
      begun = true;
    },
  });
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ seconds, bytesReceived, dir } satisfies PullFigures));
}

/** Keeps in a file how many bytes were read from sockets, to the moment at which the process dies. */
function countReceived(file: string): void {
  const descriptor = openSync(file, 'w');
  const total = new Float64Array(1);
  const connect = net.connect as (options: net.NetConnectOpts) => net.Socket;
  net.connect = ((options: net.NetConnectOpts) => {
    const { onread } = options;
    if (onread === undefined) throw new Error('a connection was opened that is read in another way');
    const callback: typeof onread.callback = (length, bytes) => {
      total[0]! += length;
      writeSync(descriptor, total, 0, 8, 0);
      return onread.callback(length, bytes);
    };
    return connect({ ...options, onread: { ...onread, callback } });
  }) as typeof net.connect;
  syncBuiltinESMExports();
}
