import {
  bytesOf,
  configDType,
  type DescribeSource,
  dtypeShares,
  type ModelDescription,
  type StateDescription,
  sumBytes,
} from './description';

type Raw = Record<string, unknown>;

/** Configs of models with several parts keep the language model's under one of these. */
const TEXT_CONFIGS = ['text_config', 'llm_config', 'language_config'];

/**
 * Describes a model type that is not implemented, by the keys most families share. Parameters are the elements of the
 * tensors, if their headers are at hand and nothing is packed; else bytes over bits, which leaves out scales.
 */
export function describeUnknown(
  rawConfig: Raw,
  modelType: string,
  quantisation: string | undefined,
  source: DescribeSource,
): ModelDescription {
  const inner = TEXT_CONFIGS.map((key) => rawConfig[key]).find((value) => typeof value === 'object' && value !== null);
  const text: Raw = { ...rawConfig, ...(inner as Raw | undefined) };
  const layerCount = whole(text, 'num_hidden_layers', 'n_layer', 'num_layers', 'n_layers');
  const bytes = source.tensors === undefined ? source.totalBytes : sumBytes(source.tensors.values());
  return {
    modelType,
    known: false,
    parameters: parameters(text, quantisation, source),
    weightBytes: bytes == null ? undefined : { count: bytes, exact: source.tensors !== undefined },
    dtypes: source.tensors === undefined ? [] : dtypeShares(source.tensors.values()),
    layerCount,
    layerBytes: [],
    embeddingBytes: undefined,
    headBytes: undefined,
    maxPositions: whole(text, 'max_position_embeddings', 'n_positions', 'seq_length', 'max_seq_len'),
    state: state(text, layerCount),
    quantisation,
  };
}

function parameters(
  text: Raw,
  quantisation: string | undefined,
  source: DescribeSource,
): ModelDescription['parameters'] {
  if (source.tensors !== undefined && quantisation === undefined) {
    let count = 0;
    for (const tensor of source.tensors.values()) count += tensor.elementCount;
    return { count, exact: false };
  }
  const bytes = source.tensors === undefined ? source.totalBytes : sumBytes(source.tensors.values());
  if (bytes == null) return undefined;
  const bits = quantisation === undefined ? undefined : quantisedBits(text);
  return {
    count: Math.round(bits === undefined ? bytes / bytesOf(configDType(text)) : (bytes * 8) / bits),
    exact: false,
  };
}

/** Bits per weight, by the key that the common quantisation configs share in meaning. */
function quantisedBits(text: Raw): number | undefined {
  const config = (text.quantization_config ?? text.quantization) as Raw;
  if (config.load_in_4bit === true || config.quant_method === 'mxfp4') return 4;
  if (config.load_in_8bit === true || config.quant_method === 'fp8') return 8;
  const groups = config.config_groups as Record<string, { weights?: Raw }> | undefined;
  const weights = groups === undefined ? undefined : Object.values(groups)[0]?.weights;
  return whole(config, 'bits', 'w_bit', 'nbits') ?? whole(weights ?? {}, 'num_bits');
}

function state(text: Raw, layerCount: number | undefined): StateDescription | undefined {
  const heads = whole(text, 'num_attention_heads', 'n_head', 'n_heads');
  const hidden = whole(text, 'hidden_size', 'n_embd', 'd_model');
  const kvHeads = whole(text, 'num_key_value_heads', 'num_kv_heads', 'n_head_kv') ?? heads;
  const headDim = whole(text, 'head_dim', 'kv_channels') ?? (heads && hidden ? Math.floor(hidden / heads) : undefined);
  if (layerCount === undefined || kvHeads === undefined || headDim === undefined) return undefined;
  const bytesPerLayer = 2 * kvHeads * headDim * 4;
  const group = (layers: number, window: number | undefined) => ({
    layers,
    window,
    bytesPerPosition: layers * bytesPerLayer,
  });
  if (!Array.isArray(text.layer_types)) return { groups: [group(layerCount, undefined)], exact: false };
  // A recurrent layer's state does not grow; it is small beside keys and values and left out.
  const count = (type: string) => (text.layer_types as unknown[]).filter((other) => other === type).length;
  const groups = [
    group(count('full_attention'), undefined),
    group(count('sliding_attention'), whole(text, 'sliding_window')),
  ];
  return { groups: groups.filter(({ layers }) => layers > 0), exact: false };
}

/** The first of some keys that holds a whole number above 0. */
function whole(raw: Raw, ...keys: string[]): number | undefined {
  return keys
    .map((key) => raw[key])
    .find((value): value is number => Number.isSafeInteger(value) && (value as number) > 0);
}
