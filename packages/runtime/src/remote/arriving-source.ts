import { join } from 'node:path';
import type { ArrivingSource } from '@airllm/shard';
import type { HubFile, PullOptions } from '../hub';
import { type BegunPull, beginPull, type Coming } from './begin-pull';
import { StaleWeightsError } from './errors';
import { nameIn } from './name-in';
import type { RemoteModel } from './remote-model';

const WEIGHTS = /\.(safetensors|bin|gguf)$/;

/** A source that is rewritten while it comes, and what ends the download. */
export interface BegunSource extends Pick<BegunPull, 'stop'> {
  readonly source: ArrivingSource;
  /** Settles with the download. */
  readonly done: Promise<unknown>;
}

/** Begins to download a model that is to be rewritten; `signal` ends the beginning only. Throws as `openPull`. */
export async function beginSource(coming: Coming, remote: RemoteModel, options: PullOptions): Promise<BegunSource> {
  const weights = coming.files.map(({ path }) => path).filter((path) => WEIGHTS.test(path));
  let stale: StaleWeightsError | undefined;
  const onDiscarded = ({ path }: HubFile) => {
    if (weights.includes(path)) stale ??= new StaleWeightsError(coming.repo, path);
  };
  const { pull, stop } = await beginPull(coming, weights, { ...options, onDiscarded });
  const { dir } = coming;
  const source: ArrivingSource = {
    absent: remote.absent,
    files: weights.map((path) => join(dir, path)),
    bytesToCome: remote.bytesToDownload,
    written: (file, from, to) => pull.written(nameIn(dir, file), from, to),
    ready: (file) => pull.ready(nameIn(dir, file)),
    async settled() {
      await pull.done;
      if (stale !== undefined) throw stale;
    },
  };
  return { source, stop, done: pull.done };
}
