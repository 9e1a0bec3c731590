import type { RopeScaling, RopeSpec } from '@airllm/kernels';
import { ConfigError, UnsupportedConfigError } from '../errors';
import { ConfigReader } from './config-reader';

// Formulas and defaults: transformers 5.12.1, modeling_rope_utils.py.

type RopeType = RopeScaling['type'];

/** What a rope type is called in config.json. */
const ROPE_TYPES: Readonly<Record<string, RopeType>> = {
  default: 'default',
  linear: 'linear',
  dynamic: 'dynamic',
  yarn: 'yarn',
  llama3: 'llama3',
  longrope: 'longrope',
};

/** Keys some implemented type reads, and `finetuned`, which early YaRN checkpoints carry and nobody reads. */
const KNOWN_KEYS = new Set([
  ...['type', 'rope_type', 'rope_theta', 'partial_rotary_factor', 'factor', 'attention_factor', 'finetuned'],
  ...['original_max_position_embeddings', 'beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim', 'truncate'],
  ...['low_freq_factor', 'high_freq_factor', 'short_factor', 'long_factor'],
]);

export interface RopeContext {
  readonly headDim: number;
  readonly maxPositions: number;
  /** Base where neither the parameters nor the top level name one. @defaultValue 10000 */
  readonly theta?: number;
  /** The architecture rotates a part of each head (`partial_rotary_factor`). @defaultValue false */
  readonly partial?: boolean;
  /** Accepted names and what they mean. @defaultValue every implemented type under its own name */
  readonly types?: Readonly<Record<string, RopeType>>;
  /** Default of a top-level `original_max_position_embeddings`, for families whose config class has one. */
  readonly originalMaxPositions?: number;
}

/**
 * Reads rotary parameters as transformers 5 writes them (`rope_parameters`) or as 4 did (`rope_theta` and
 * `rope_scaling`, which wins where both exist).
 */
export function readRope(config: ConfigReader, context: RopeContext): RopeSpec {
  const parameters = ropeParameters(config);
  const theta = parameters.optionalNumber('rope_theta') ?? config.optionalNumber('rope_theta') ?? context.theta;
  const original = config.optionalInt('original_max_position_embeddings') ?? context.originalMaxPositions;
  const inner = parameters.optionalNumber('partial_rotary_factor');
  const outer = config.optionalNumber('partial_rotary_factor');
  if (inner !== undefined && outer !== undefined && inner !== outer) {
    throw new ConfigError({
      key: `${parameters.path}partial_rotary_factor`,
      found: inner,
      expected: `the same as partial_rotary_factor (${outer})`,
    });
  }
  return ropeSpec(parameters, {
    ...context,
    theta: theta ?? 10_000,
    partialFactor: inner ?? outer ?? 1,
    ...(original === undefined ? {} : { originalMaxPositions: original }),
  });
}

/** The object that holds the parameters: an empty one where the file has none. */
function ropeParameters(config: ConfigReader): ConfigReader {
  const scaling = config.object('rope_scaling');
  if (scaling !== undefined && scaling.keys().length > 0) return scaling;
  return config.object('rope_parameters') ?? new ConfigReader({}, 'rope_parameters.');
}

/** One set of rotary parameters; families with several (per layer type) call this for each. */
export function ropeSpec(
  parameters: ConfigReader,
  context: RopeContext & { readonly theta: number; readonly partialFactor?: number },
): RopeSpec {
  const odd = parameters.keys().find((key) => !KNOWN_KEYS.has(key) && parameters.has(key));
  if (odd !== undefined) {
    const found = parameters.raw[odd];
    throw new UnsupportedConfigError({ key: parameters.path + odd, found, supported: [...KNOWN_KEYS] });
  }
  const types = context.types ?? ROPE_TYPES;
  const key = parameters.has('rope_type') || !parameters.has('type') ? 'rope_type' : 'type';
  const type = types[parameters.oneOf(key, Object.keys(types), { default: 'default' })]!;
  const dim = rotaryDim(parameters, context);
  if (!(context.theta > 0)) {
    throw new ConfigError({ key: `${parameters.path}rope_theta`, found: context.theta, expected: 'a number above 0' });
  }
  return { dim, theta: context.theta, scaling: scalingOf(type, parameters, context, dim) };
}

function rotaryDim(parameters: ConfigReader, context: RopeContext & { readonly partialFactor?: number }): number {
  const factor = context.partialFactor ?? 1;
  const dim = Math.trunc(context.headDim * factor);
  const key = `${parameters.path}partial_rotary_factor`;
  if (factor !== 1 && !context.partial) {
    throw new UnsupportedConfigError({ key, found: factor, supported: ['1'] });
  }
  if (dim < 2 || dim > context.headDim || dim % 2 !== 0) {
    const expected = `a part of the head width ${context.headDim} that makes an even number`;
    throw new ConfigError({ key, found: factor, expected });
  }
  return dim;
}

function scalingOf(type: RopeType, parameters: ConfigReader, context: RopeContext, dim: number): RopeScaling {
  const factor = () => parameters.number('factor', { min: Number.MIN_VALUE });
  switch (type) {
    case 'default':
      return { type };
    case 'linear':
      return { type, factor: factor() };
    case 'dynamic':
      return { type, factor: factor(), maxPositions: context.maxPositions };
    case 'llama3':
      return {
        type,
        factor: factor(),
        lowFreqFactor: parameters.number('low_freq_factor'),
        highFreqFactor: parameters.number('high_freq_factor'),
        originalMaxPositions: originalMaxPositions(parameters, context),
      };
    case 'yarn':
      return yarn(parameters, context);
    case 'longrope':
      return longrope(parameters, context, dim);
  }
}

/** A top-level key (given in the context) wins over the one among the parameters. */
function originalMaxPositions(parameters: ConfigReader, context: RopeContext): number {
  return (
    context.originalMaxPositions ??
    parameters.int('original_max_position_embeddings', { default: context.maxPositions })
  );
}

function yarn(parameters: ConfigReader, context: RopeContext): RopeScaling {
  const original = originalMaxPositions(parameters, context);
  const factor = parameters.number('factor', { default: context.maxPositions / original, min: Number.MIN_VALUE });
  const mscale = parameters.optionalNumber('mscale');
  const mscaleAllDim = parameters.optionalNumber('mscale_all_dim');
  const derived =
    mscale && mscaleAllDim ? yarnScale(factor, mscale) / yarnScale(factor, mscaleAllDim) : yarnScale(factor);
  return {
    type: 'yarn',
    factor,
    originalMaxPositions: original,
    // Python's `or`: 0 means the default as well.
    betaFast: parameters.optionalNumber('beta_fast') || 32,
    betaSlow: parameters.optionalNumber('beta_slow') || 1,
    truncate: parameters.bool('truncate', { default: true }),
    attentionFactor: parameters.number('attention_factor', { default: derived, min: 0 }),
  };
}

function yarnScale(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

function longrope(parameters: ConfigReader, context: RopeContext, dim: number): RopeScaling {
  const original = originalMaxPositions(parameters, context);
  const factor = parameters.number('factor', { default: context.maxPositions / original });
  const derived = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  const factors = (key: string) => {
    const list = parameters.numbers(key);
    if (list.length === dim / 2 && list.every((value) => value > 0)) return list;
    const expected = `${dim / 2} numbers above 0, one per rotated pair`;
    throw new ConfigError({ key: parameters.path + key, found: list, expected });
  };
  return {
    type: 'longrope',
    shortFactor: factors('short_factor'),
    longFactor: factors('long_factor'),
    originalMaxPositions: original,
    attentionFactor: parameters.number('attention_factor', { default: derived, min: 0 }),
  };
}
