import type { Reader } from '@airllm/loader';
import { pullModel } from '../hub';
import type { Model } from '../models/model';
import { arrive } from '../remote/arrive';
import type { ArrivingReader } from '../remote/arriving-reader';
import { consumptionOrder } from '../remote/consumption-order';
import { openRemoteModel } from '../remote/remote-model';
import type { SpeculationOptions } from './draft-target';
import { type OpenWeightsOptions, openAbsentWeights, openWeights, type RunnableWeights } from './open-weights';
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
 * they can be computed with while they are downloaded; those that are to be converted or compressed are downloaded first.
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
  const { repo, revision, layout } = found;
  const { signal } = options;
  const asked = { ...options, cacheDir: layout.cacheDir, revision };
  const remote = await openRemoteModel(repo, asked);
  try {
    const { dir, commit, files, absent } = remote;
    // Others are converted, or tell where their tensors lie only when they are here.
    if (![...absent.sizes.keys()].some((name) => name.endsWith('.safetensors'))) return null;
    const weights = await openAbsentWeights(dir, absent, signal);
    if (weights === null) return null;
    const small = files.map(({ path }) => path).filter((path) => !path.endsWith('.safetensors'));
    await pullModel(repo, { ...asked, onProgress: undefined, revision: commit, files: small });
    return {
      path: dir,
      weights,
      arrive: (model, reader) => {
        const order = consumptionOrder(model);
        return arrive({ repo, commit, revision, files, dir, layout, order, reader }, asked);
      },
    };
  } finally {
    await remote.close();
  }
}
