import { type SplitOptions, type SplitReport, splitCheckpoint } from '@airllm/shard';
import { StaleWeightsError } from '../../remote/errors';
import { openRemoteModel } from '../../remote/remote-model';
import { pullSmallFiles, whileComing } from '../../remote/while-coming';
import { lookUpModel, type ModelToDownload, type ResolveModelOptions, resolveModel } from './resolve-model';

export interface ShardModelOptions extends ResolveModelOptions {
  /** How it is split. */
  readonly split?: Omit<SplitOptions, 'arriving' | 'signal'> | undefined;
}

/** What a split did, and the folder or file it was made from. */
export interface ShardedModel extends SplitReport {
  readonly source: string;
}

/**
 * Splits a model, a repository's while it is downloaded: each layer is written when its bytes have come, and the target is
 * finished when all files are there and verified. A split that was interrupted while the model came is begun anew; the
 * download goes on. Throws as `resolveModel`, `splitCheckpoint` and `openPull` do.
 */
export async function shardModel(
  source: string,
  target: string,
  options: ShardModelOptions = {},
): Promise<ShardedModel> {
  const found = await lookUpModel(source, options);
  if (!('here' in found) && found.cached?.weights === undefined) {
    const sharded = await shardWhileComing(found, target, options).catch((error: unknown) => {
      if (!StaleWeightsError.isInstance(error)) throw error;
      // What came damaged has been fetched anew by now.
      return null;
    });
    if (sharded !== null) return sharded;
  }
  const { file, dir } = 'here' in found ? found.here : await resolveModel(source, options);
  const path = file ?? dir;
  return { ...(await splitCheckpoint(path, target, { ...options.split, signal: options.signal })), source: path };
}

/** Null for what must be here as a whole before it is split. */
async function shardWhileComing(
  { repo, revision, quantisation, layout }: ModelToDownload,
  target: string,
  options: ShardModelOptions,
): Promise<ShardedModel | null> {
  const asked = { ...options, cacheDir: layout.cacheDir, revision, quantisation };
  const remote = await openRemoteModel(repo, asked);
  try {
    const { dir, commit, files, absent, path } = remote;
    const names = [...absent.sizes.keys()];
    // Where the tensors of an archive lie is known for sure when it is here.
    if (names.length === 0 || names.some((name) => name.endsWith('.bin'))) return null;
    await pullSmallFiles(remote, asked);
    const coming = { repo, commit, revision, files, dir, layout };
    const split = { ...options.split, signal: options.signal };
    const report = await whileComing(coming, remote, asked, (arriving) => {
      return splitCheckpoint(path, target, { ...split, arriving });
    });
    return { ...report, source: path };
  } finally {
    await remote.close();
  }
}
