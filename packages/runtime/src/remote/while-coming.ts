import { dirname } from 'node:path';
import { makeFolder } from '@airllm/loader';
import type { ArrivingSource } from '@airllm/shard';
import { type PullOptions, pullModel } from '../hub';
import { beginSource } from './arriving-source';
import type { Coming } from './begin-pull';
import type { RemoteModel } from './remote-model';

const WEIGHTS = /\.(safetensors|bin|gguf)$/;

/** Brings what lies beside a model's weights. */
export async function pullSmallFiles({ repo, commit, files }: RemoteModel, options: PullOptions): Promise<void> {
  const small = files.map(({ path }) => path).filter((path) => !WEIGHTS.test(path));
  if (small.length === 0) return;
  await pullModel(repo, { ...options, onProgress: undefined, revision: commit, files: small });
}

/** Does something with a model's weights while they are downloaded; its end by an error, or an abort, ends the download. */
export async function whileComing<T>(
  coming: Coming,
  remote: RemoteModel,
  options: PullOptions,
  use: (source: ArrivingSource) => Promise<T>,
): Promise<T> {
  await makeFolder(dirname(remote.path));
  const { source, stop, done } = await beginSource(coming, remote, options);
  const { signal } = options;
  const onAbort = () => stop(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await use(source);
  } catch (error) {
    stop(error);
    await done.catch(() => {});
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
