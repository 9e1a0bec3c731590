import { OptionError } from '@airllm/loader';
import type { GenerationDefaults } from './generation-config';
import { banSequences, banTokens, penaliseOutput } from './logits-processors';
import type { LogitsProcessor, Sampling } from './sampling';
import { checkedFormat, type ResponseFormat } from './structured/response-format';

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
  /** Taken from a token's logit for each time it was generated, as with OpenAI; below 0 it is added. @defaultValue 0 */
  readonly frequencyPenalty?: number | undefined;
  /** Taken from the logits of tokens that were generated at all, as with OpenAI; below 0 it is added. @defaultValue 0 */
  readonly presencePenalty?: number | undefined;
  /** Whole number of at least 0; the same seed gives the same text. @defaultValue a random one, told in `stats.seed` */
  readonly seed?: number | undefined;
}

/** What is done to the scores before a token is chosen, greedily or not. None of these implies sampling. */
export interface LogitsOptions {
  /** Added to the logits of tokens, by id: a record, a map or pairs. -Infinity bans a token. */
  readonly logitBias?: Readonly<Record<number, number>> | Iterable<readonly [id: number, bias: number]> | undefined;
  /** Ids that are never generated. */
  readonly bannedTokens?: readonly number[] | undefined;
  /** Sequences of ids that are never completed. */
  readonly badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Called with all ids so far and the scores `[vocabSize]`, which it changes in place; several in this order. */
  readonly logitsProcessor?: LogitsProcessor | readonly LogitsProcessor[] | undefined;
}

/**
 * Ends a text when it says true. Called after each token that did not end it, with all ids so far, prompt included, and
 * the text generated so far, as far as it is final.
 */
export type StoppingCriteria = (ids: readonly number[], text: string) => boolean;

/** When a text ends. */
export interface LimitOptions {
  /** @defaultValue generation_config.json, else 256, and never past the context */
  readonly maxNewTokens?: number | undefined;
  /** The text ends before the first of these; they are not part of it. */
  readonly stop?: string | readonly string[] | undefined;
  /** Goes on past end tokens, which then count as text. @defaultValue false */
  readonly ignoreEos?: boolean | undefined;
  /** Any of them may end the text; what was generated until then is kept, and `finishReason` is `stop`. */
  readonly stoppingCriteria?: StoppingCriteria | readonly StoppingCriteria[] | undefined;
}

/** What a text must be. */
export interface StructureOptions {
  /**
   * JSON, JSON of a schema, or what a grammar allows, from the first token on; the text ends when it is whole. Tokens that
   * would leave it are ruled out after all processors. @defaultValue anything
   */
  readonly responseFormat?: ResponseFormat | undefined;
}

/** What is told about each token. */
export interface LogprobsOptions {
  /**
   * Tells log probabilities: of each generated token, and of this many of the most likely ones at its place; 0 for the
   * generated ones alone. Of the model's own distribution: before bias, penalties, processors and temperature.
   */
  readonly topLogprobs?: number | undefined;
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
  readonly stoppingCriteria: readonly StoppingCriteria[];
  /** Undefined: nobody asked for log probabilities. */
  readonly topLogprobs: number | undefined;
  /** Undefined: anything. */
  readonly responseFormat: ReturnType<typeof checkedFormat>;
}

/** Everything that decides which tokens are generated. */
export type GenerationOptions = SamplingOptions & LogitsOptions & StructureOptions & LimitOptions & LogprobsOptions;

const DEFAULT_NEW_TOKENS = 256;
/** transformers' default when sampling. */
const DEFAULT_TOP_K = 50;

/** What options are resolved for. */
export interface GenerationContext {
  /** Token ids are checked against it. @defaultValue any id will do */
  readonly vocabSize?: number;
  /** Tokens that were not generated: frequency and presence penalties do not count them. @defaultValue 0 */
  readonly promptLength?: number;
}

/** Throws `OptionError` naming the option. */
export function resolveGeneration(
  options: GenerationOptions,
  defaults: GenerationDefaults,
  { vocabSize = Number.MAX_SAFE_INTEGER, promptLength = 0 }: GenerationContext = {},
): ResolvedGeneration {
  const temperature = number('temperature', options.temperature, 0) ?? defaults.temperature ?? 1;
  const stop = typeof options.stop === 'string' ? [options.stop] : [...(options.stop ?? [])];
  if (stop.includes('')) throw new OptionError({ option: 'stop', expected: 'strings that are not empty', found: '' });
  return {
    sampling: {
      method: temperature > 0 && wantsSampling(options, defaults) ? 'random' : 'greedy',
      logitBias: biases(options.logitBias, vocabSize),
      processors: [...penalties(options, promptLength), ...processors(options, vocabSize)],
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
    stoppingCriteria: functions('stoppingCriteria', options.stoppingCriteria),
    topLogprobs: whole('topLogprobs', options.topLogprobs, 0),
    responseFormat: structure(options),
  };
}

function structure({ responseFormat, ignoreEos }: GenerationOptions): ReturnType<typeof checkedFormat> {
  const format = checkedFormat(responseFormat);
  if (format === undefined || !ignoreEos) return format;
  const expected = 'false beside responseFormat: nothing may come behind a text that is whole';
  throw new OptionError({ option: 'ignoreEos', expected, found: ignoreEos });
}

function penalties({ frequencyPenalty, presencePenalty }: SamplingOptions, promptLength: number): LogitsProcessor[] {
  const frequency = number('frequencyPenalty', frequencyPenalty, -Number.MAX_VALUE) ?? 0;
  const presence = number('presencePenalty', presencePenalty, -Number.MAX_VALUE) ?? 0;
  return frequency === 0 && presence === 0 ? [] : [penaliseOutput({ frequency, presence }, promptLength)];
}

/** In transformers' order: bad words, suppressed tokens, custom ones. */
function processors(options: LogitsOptions, vocabSize: number): readonly LogitsProcessor[] {
  const { badWordsIds: sequences = [], bannedTokens: banned = [] } = options;
  for (const sequence of sequences) {
    if (sequence.length === 0) {
      throw new OptionError({ option: 'badWordsIds', expected: 'sequences of at least one id', found: '[]' });
    }
    checkIds('badWordsIds', sequence, vocabSize);
  }
  checkIds('bannedTokens', banned, vocabSize);
  return [
    ...(sequences.length > 0 ? [banSequences(sequences)] : []),
    ...(banned.length > 0 ? [banTokens(banned)] : []),
    ...functions('logitsProcessor', options.logitsProcessor),
  ];
}

function biases(given: LogitsOptions['logitBias'], vocabSize: number): ReadonlyMap<number, number> | undefined {
  if (given === undefined) return undefined;
  const pairs = Symbol.iterator in given ? [...given] : Object.entries(given).map(([id, bias]) => [Number(id), bias]);
  const bias = new Map(pairs as readonly (readonly [number, number])[]);
  checkIds('logitBias', bias.keys(), vocabSize);
  for (const value of bias.values()) {
    if (typeof value !== 'number' || Number.isNaN(value) || value === Number.POSITIVE_INFINITY) {
      throw new OptionError({ option: 'logitBias', expected: 'numbers or -Infinity', found: value });
    }
  }
  return bias;
}

function checkIds(option: string, ids: Iterable<number>, vocabSize: number): void {
  for (const id of ids) {
    if (Number.isSafeInteger(id) && id >= 0 && id < vocabSize) continue;
    throw new OptionError({ option, expected: `token ids from 0 to ${vocabSize - 1}`, found: id });
  }
}

function functions<F extends (...args: never[]) => unknown>(option: string, given: F | readonly F[] | undefined) {
  const list: readonly F[] = given === undefined ? [] : Array.isArray(given) ? given : [given as F];
  const odd = list.find((each) => typeof each !== 'function');
  if (odd !== undefined) throw new OptionError({ option, expected: 'a function or a list of functions', found: odd });
  return list;
}

function wantsSampling(options: SamplingOptions, defaults: GenerationDefaults): boolean {
  if (options.doSample !== undefined) return options.doSample;
  const { temperature, topK, topP, minP, seed } = options;
  if ([temperature, topK, topP, minP, seed].some((option) => option !== undefined)) return true;
  return defaults.doSample ?? false;
}

const RANGES = new Map([
  [Number.MIN_VALUE, ' above 0'],
  [-Number.MAX_VALUE, ''],
]);

function number(option: string, value: number | undefined, least: number, most = Number.MAX_VALUE) {
  if (value === undefined || (typeof value === 'number' && value >= least && value <= most)) return value;
  const range = RANGES.get(least) ?? ` of at least ${least}`;
  const end = most === Number.MAX_VALUE ? '' : ` and at most ${most}`;
  throw new OptionError({ option, expected: `a number${range}${end}`, found: value });
}

function whole(option: string, value: number | undefined, least: number) {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return value;
  throw new OptionError({ option, expected: `a whole number of at least ${least}`, found: value });
}
