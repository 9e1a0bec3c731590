import { OptionError } from '@airllm/loader';
import { compressTensors, convertedTensor, openSource } from '@airllm/shard';
import type { Model } from '../../models/model';
import { buildModel } from '../../models/registry';
import { openCompressed, openWeights, type RunnableWeights } from '../weights/open-weights';
import { resolveModel } from '../weights/resolve-model';
import type { ChooseDrafterOptions, DraftTarget } from './draft-target';
import { checkSameTokenizer } from './same-tokenizer';

/** A model that could draft. */
export interface DraftWeights {
  /** For people. */
  readonly name: string;
  /** Its sizes are those of the weights; these may have to be made yet. */
  readonly model: Model;
  /** The model with its weights where they can be read from. */
  readonly ready: () => Promise<Model>;
}

/** Drafts need not be exact, and states in bfloat16 take half the memory. */
const STATES = { kvCacheDtype: 'bfloat16' } as const;

/** The model that `draftModel` names. Throws `OptionError` where its tokenizer is another one. */
export async function otherModel(target: DraftTarget, options: ChooseDrafterOptions): Promise<DraftWeights> {
  const source = options.draftModel!;
  const { revision: _, ...found } = options;
  const { dir, file } = await resolveModel(source, found);
  const weights = await openWeights(file ?? dir, options);
  await checkSameTokenizer(target.dir, weights.dir, options.signal);
  const model = modelOf(weights);
  return { name: `the draft model ${source}`, model, ready: async () => model };
}

/**
 * A copy of the target in 4 bits, made once and kept in the cache like converted models; nothing is written before it is
 * `ready`. Refused for models that are quantised already.
 */
export async function selfCopy(
  target: DraftTarget,
  options: ChooseDrafterOptions,
): Promise<DraftWeights | { readonly refused: string }> {
  const source = await openSource(target.path, { signal: options.signal });
  try {
    const compressed = compressTensors(source, '4bit');
    const tensors = new Map([...compressed].map(([name, tensor]) => [name, convertedTensor(tensor)]));
    const model = modelOf({ config: source.config, tensors });
    const ready = async () => modelOf(await openCompressed(target.path, '4bit', options));
    return { name: 'the 4-bit copy of the model', model, ready };
  } catch (error) {
    if (!OptionError.isInstance(error)) throw error;
    return { refused: `no 4-bit copy can be made of this model: ${error.message}` };
  }
}

function modelOf(weights: Pick<RunnableWeights, 'config' | 'tensors'>): Model {
  return buildModel(weights.config, weights, STATES);
}
