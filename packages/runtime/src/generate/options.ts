import { OptionError } from '@airllm/loader';
import type { GenerationDefaults } from './generation-config';
import type { Sampling } from './sampling';

/** Names as in transformers' GenerationConfig, camelCased. */
export interface SamplingOptions {
  /** False is greedy. @defaultValue true if any sampling option is given, else generation_config.json, else false */
  readonly doSample?: boolean | undefined;
  /** Above 0; 0 is greedy. @defaultValue generation_config.json, else 1 */
  readonly temperature?: number | undefined;
  /** Most likely tokens to draw from; 0 for all. @defaultValue generation_config.json, else 50 */
  readonly topK?: number | undefined;
  /** Probability mass to draw from, above 0 to 1. @defaultValue generation_config.json, else 1 */
  readonly topP?: number | undefined;
  /** Least probability relative to the most likely token, 0 to 1. @defaultValue generation_config.json, else 0 */
  readonly minP?: number | undefined;
  /** Above 0; 1 does nothing. @defaultValue generation_config.json, else 1 */
  readonly repetitionPenalty?: number | undefined;
  /** Whole number of at least 0; the same seed gives the same text. @defaultValue a random one, told in `stats.seed` */
  readonly seed?: number | undefined;
}

export interface LimitOptions {
  /** @defaultValue generation_config.json, else 256, and never past the context */
  readonly maxNewTokens?: number | undefined;
  /** The text ends before the first of these; they are not part of it. */
  readonly stop?: string | readonly string[] | undefined;
  /** Goes on past end tokens, which then count as text. @defaultValue false */
  readonly ignoreEos?: boolean | undefined;
}

/** What {@link resolveGeneration} made of options, generation_config.json and defaults. */
export interface ResolvedGeneration {
  readonly sampling: Sampling;
  readonly seed: number;
  readonly maxNewTokens: number;
  /** The caller named maxNewTokens: a context too small for it is then an error. */
  readonly exactLength: boolean;
  readonly stop: readonly string[];
  readonly ignoreEos: boolean;
}

const DEFAULT_NEW_TOKENS = 256;
/** transformers' default when sampling. */
const DEFAULT_TOP_K = 50;

/** Throws `OptionError` naming the option. */
export function resolveGeneration(
  options: SamplingOptions & LimitOptions,
  defaults: GenerationDefaults,
): ResolvedGeneration {
  const temperature = number('temperature', options.temperature, 0) ?? defaults.temperature ?? 1;
  const stop = typeof options.stop === 'string' ? [options.stop] : [...(options.stop ?? [])];
  if (stop.includes('')) throw new OptionError({ option: 'stop', expected: 'strings that are not empty', found: '' });
  return {
    sampling: {
      method: temperature > 0 && wantsSampling(options, defaults) ? 'random' : 'greedy',
      temperature,
      topK: whole('topK', options.topK, 0) ?? defaults.topK ?? DEFAULT_TOP_K,
      topP: number('topP', options.topP, Number.MIN_VALUE, 1) ?? defaults.topP ?? 1,
      minP: number('minP', options.minP, 0, 1) ?? defaults.minP ?? 0,
      repetitionPenalty:
        number('repetitionPenalty', options.repetitionPenalty, Number.MIN_VALUE) ?? defaults.repetitionPenalty ?? 1,
    },
    seed: whole('seed', options.seed, 0) ?? Math.floor(Math.random() * 2 ** 32),
    maxNewTokens: whole('maxNewTokens', options.maxNewTokens, 1) ?? defaults.maxNewTokens ?? DEFAULT_NEW_TOKENS,
    exactLength: options.maxNewTokens !== undefined,
    stop,
    ignoreEos: options.ignoreEos ?? false,
  };
}

function wantsSampling(options: SamplingOptions, defaults: GenerationDefaults): boolean {
  if (options.doSample !== undefined) return options.doSample;
  const { temperature, topK, topP, minP, seed } = options;
  if ([temperature, topK, topP, minP, seed].some((option) => option !== undefined)) return true;
  return defaults.doSample ?? false;
}

function number(option: string, value: number | undefined, least: number, most = Number.MAX_VALUE) {
  if (value === undefined || (typeof value === 'number' && value >= least && value <= most)) return value;
  const range = least === Number.MIN_VALUE ? 'above 0' : `of at least ${least}`;
  const end = most === Number.MAX_VALUE ? '' : ` and at most ${most}`;
  throw new OptionError({ option, expected: `a number ${range}${end}`, found: value });
}

function whole(option: string, value: number | undefined, least: number) {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return value;
  throw new OptionError({ option, expected: `a whole number of at least ${least}`, found: value });
}
