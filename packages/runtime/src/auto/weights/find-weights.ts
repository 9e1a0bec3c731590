import { realpath } from 'node:fs/promises';
import type { Reader } from '@airllm/loader';
import type { Model } from '../../models/model';
import { arrive } from '../../remote/arrive';
import type { ArrivingReader } from '../../remote/arriving-reader';
import type { Coming } from '../../remote/begin-pull';
import { consumptionOrder } from '../../remote/consumption-order';
import { StaleWeightsError } from '../../remote/errors';
import { nameIn } from '../../remote/name-in';
import { openRemoteModel, type RemoteModel } from '../../remote/remote-model';
import { pullSmallFiles, whileComing } from '../../remote/while-coming';
import type { SpeculationOptions } from '../draft/draft-target';
import { checkPlaces } from './check-places';
import {
  type OpenWeightsOptions,
  openAbsentWeights,
  openArrivingWeights,
  openWeights,
  type RunnableWeights,
} from './open-weights';
import { lookUpModel, type ModelToDownload, type ResolveModelOptions, resolveModel } from './resolve-model';

export interface FoundWeights {
  /** Folder or file of the weights. */
  readonly path: string;
  readonly weights: RunnableWeights;
  /** Where the weights are not here yet: begins to download them, and returns what reads them while they come. */
  readonly arrive?: (model: Model, reader: Reader) => Promise<ArrivingReader>;
}

export type FindWeightsOptions = ResolveModelOptions & OpenWeightsOptions & SpeculationOptions;

/**
 * Finds a model and opens its weights. Those of a repository that the cache has not are opened by their headers, so that
 * they can be computed with while they are downloaded, or converted while they come; those that are to be compressed are
 * downloaded first.
 */
export async function findWeights(source: string, options: FindWeightsOptions): Promise<FoundWeights> {
  const found = await lookUpModel(source, options);
  if (!('here' in found) && found.cached?.weights === undefined && !readsAllBefore(options)) {
    const arriving = await openArriving(found, options);
    if (arriving !== null) return arriving;
  }
  const { file, dir } = 'here' in found ? found.here : await resolveModel(source, options);
  const path = file ?? dir;
  return { path, weights: await openWeights(path, options) };
}

/** A copy of the model itself that drafts for it is made of all of it, and whether a draft model pays is measured. */
function readsAllBefore({ speculate, draftModel }: SpeculationOptions): boolean {
  return speculate === 'self' || (draftModel !== undefined && speculate !== 'off');
}

/** Null for what must be here as a whole before it runs. */
async function openArriving(found: ModelToDownload, options: FindWeightsOptions): Promise<FoundWeights | null> {
  const { repo, revision, quantisation, layout } = found;
  const asked = { ...options, cacheDir: layout.cacheDir, revision, quantisation };
  const remote = await openRemoteModel(repo, asked);
  try {
    const { dir, commit, files, absent, path } = remote;
    const weights = [...absent.sizes.keys()];
    if (weights.length === 0) return null;
    const runnable = await openAbsentWeights(path, absent, options);
    await pullSmallFiles(remote, asked);
    const coming = { repo, commit, revision, files, dir, layout };
    if (runnable === null) return await openConverted(coming, remote, options);
    const isPickle = weights.some((name) => name.endsWith('.bin'));
    const check = isPickle ? () => checkPlaces(repo, path, runnable.tensors) : undefined;
    return {
      path: dir,
      weights: runnable,
      arrive: (model, reader) => arrive(coming, { order: consumptionOrder(model), reader, check }, asked),
    };
  } finally {
    await remote.close();
  }
}

/** Weights that are converted while they come. */
async function openConverted(coming: Coming, remote: RemoteModel, options: FindWeightsOptions): Promise<FoundWeights> {
  const { path } = remote;
  const weights = await whileComing(coming, remote, options, async (arriving) => {
    const realPath = await realPathToBe(coming, path);
    return openArrivingWeights(path, { arriving, realPath }, options);
  }).catch((error) => {
    if (!StaleWeightsError.isInstance(error)) throw error;
    // What came damaged has been fetched anew by now.
    return openWeights(path, options);
  });
  return { path, weights };
}

/** A file of the cache is a link to its blob. */
async function realPathToBe({ dir, files, layout }: Coming, path: string): Promise<string> {
  const blob = files.find((file) => file.path === nameIn(dir, path))?.etag;
  return blob === undefined ? realpath(path) : layout.blob(blob).replace(layout.root, await realpath(layout.root));
}
