import type { SamplingOptions } from '@airllm/runtime';
import { type Covers, number, type OptionGroup } from './option';

const options = {
  temperature: number({
    value: '<x>',
    help: 'Higher is more varied; 0 always takes the most likely token. Giving this or another option below but a penalty means sampling. Default: the model’s, else 1.',
  }),
  topK: number({ value: '<n>', help: 'Draw from the n most likely tokens; 0 for all. Default: the model’s, else 50.' }),
  topP: number({ value: '<x>', help: 'Draw from the most likely tokens that make up this probability, above 0 to 1.' }),
  minP: number({
    value: '<x>',
    help: 'Draw from tokens at least this likely relative to the most likely one, 0 to 1.',
  }),
  repetitionPenalty: number({
    value: '<x>',
    help: 'Above 1 makes tokens that were there before less likely. Default: the model’s, else 1.',
  }),
  frequencyPenalty: number({
    value: '<x>',
    help: 'Taken from a token’s logit for each time it was generated, as with OpenAI; the prompt does not count. Default: 0.',
  }),
  presencePenalty: number({
    value: '<x>',
    help: 'Taken once from the logits of tokens that were generated, as with OpenAI. Default: 0.',
  }),
  seed: number({ value: '<n>', help: 'Makes sampling repeatable. Default: a random one, told by --json.' }),
  doSample: { declined: '--temperature 0 is greedy, and any other option of this group samples' },
} satisfies Covers<SamplingOptions>;

/** How tokens are chosen. */
export const samplingArgs: OptionGroup<typeof options> = {
  title: 'Sampling',
  options,
};
