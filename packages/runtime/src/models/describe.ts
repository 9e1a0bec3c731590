import { BLOCK_POSITIONS, type KvStateSpec, kvBlockBytes } from '@airllm/kernels';
import { MetaTensor } from '@airllm/loader';
import { UnsupportedConfigError } from '../errors';
import { describeUnknown } from './describe-unknown';
import {
  configDType,
  type DescribeSource,
  dtypeShares,
  type ModelDescription,
  type StateDescription,
  sumBytes,
} from './description';
import type { Model } from './model';
import { architectureOf, buildModel } from './registry';

/** Keys that say how the weights were compressed, which changes their bytes and not the model. */
const QUANTISATION_KEYS = ['quantization_config', 'quantization'];

/**
 * Describes a model from its config.json and whatever else is known of its files. Exact for implemented model types;
 * otherwise estimated, and marked so. Throws `ConfigError` or `ModelTensorError` for an implemented type whose files make
 * no sense.
 */
export function describeCheckpoint(rawConfig: Record<string, unknown>, source: DescribeSource = {}): ModelDescription {
  const quantisation = source.quantisation ?? quantisationOf(rawConfig);
  const modelType = typeof rawConfig.model_type === 'string' ? rawConfig.model_type : '(none)';
  const unknown = () => describeUnknown(rawConfig, modelType, quantisation, source);
  if (architectureOf(modelType) === undefined) return unknown();
  try {
    return describeKnown(rawConfig, quantisation, source);
  } catch (error) {
    // A variant of an implemented type that is not implemented.
    if (UnsupportedConfigError.isInstance(error)) return unknown();
    throw error;
  }
}

function describeKnown(
  rawConfig: Record<string, unknown>,
  quantisation: string | undefined,
  source: DescribeSource,
): ModelDescription {
  if (source.tensors !== undefined) {
    return { ...describeModel(buildModel(rawConfig, { tensors: source.tensors })), quantisation };
  }
  const { quantised, totalBytes: stored } = source;
  const model = buildModel(rawConfig, { dtype: configDType(rawConfig), ...(quantised && { quantised }) });
  const described = describeModel(model);
  if (quantisation === undefined) return described;
  if ([...model.tensors.values()].some((tensor) => !MetaTensor.isInstance(tensor))) {
    // Names and shapes tell the matrices; dtypes of scales, and tables beside them, are the files' own.
    const count = stored ?? described.weightBytes!.count;
    return { ...described, quantisation, weightBytes: { count, exact: stored != null } };
  }
  // The shapes are the model's own, the bytes are not.
  return {
    ...described,
    quantisation,
    weightBytes: stored == null ? undefined : { count: stored, exact: true },
    dtypes: [],
    layerBytes: [],
    embeddingBytes: undefined,
    headBytes: undefined,
  };
}

/** Describes a model that was built, over a checkpoint or on meta. */
export function describeModel(model: Model): ModelDescription {
  return {
    modelType: model.config.modelType,
    known: true,
    parameters: { count: model.parameterCount, exact: true },
    weightBytes: { count: sumBytes(model.tensors.values()), exact: true },
    dtypes: dtypeShares(model.tensors.values()),
    layerCount: model.layers.length,
    layerBytes: model.layers.map(blockBytes),
    embeddingBytes: blockBytes(model.embedding),
    headBytes: blockBytes(model.head),
    maxPositions: model.config.maxPositions,
    state: stateOf(model),
    quantisation: undefined,
  };
}

function quantisationOf(rawConfig: Record<string, unknown>): string | undefined {
  for (const key of QUANTISATION_KEYS) {
    const found = rawConfig[key];
    if (typeof found !== 'object' || found === null) continue;
    const method = (found as { quant_method?: unknown }).quant_method;
    return typeof method === 'string' ? method : 'unnamed';
  }
  return undefined;
}

/** Bytes of a block's tensors, routed experts included. */
function blockBytes(block: Model['head']): number {
  return sumBytes([...block.weights, ...[...block.experts.values()].flat(2)]);
}

function stateOf(model: Model): StateDescription {
  const groups = new Map<
    number | undefined,
    { layers: number; window: number | undefined; bytesPerPosition: number }
  >();
  for (const state of model.layers.flatMap<KvStateSpec>(({ graph }) => graph.states)) {
    const { window } = state;
    const group = groups.get(window) ?? { layers: 0, window, bytesPerPosition: 0 };
    group.layers++;
    group.bytesPerPosition += kvBlockBytes(state) / BLOCK_POSITIONS;
    groups.set(window, group);
  }
  return { groups: [...groups.values()], exact: true };
}
