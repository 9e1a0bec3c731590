import type { GenerateOptions, GenerationOptions, LimitOptions } from '@airllm/runtime';
import { type Covers, list, number, type OptionGroup, toggle } from './option';

const options = {
  maxNewTokens: number({
    value: '<n>',
    help: 'Most tokens to generate. Default: the model’s, else 256, and never past the context.',
  }),
  stop: list({ value: '<text>', help: 'End before this text; may be given several times.' }),
  ignoreEos: toggle({ help: 'Go on past the model’s end tokens.' }),
  stoppingCriteria: { declined: 'a function; --stop takes texts' },
} satisfies Covers<LimitOptions>;

/** Where an answer ends. */
export const limitArgs: OptionGroup<typeof options> = { title: 'Length', options };

/** Options of a call that are for programs. */
export const declinedCallOptions = {
  chat: { declined: 'tools, documents and template variables need JSON' },
  returnLogits: { declined: 'logits are for programs' },
  numReturnSequences: { declined: 'one answer is shown' },
  promptCache: { declined: 'run has --prompt-cache' },
  signal: { declined: 'Ctrl-C is' },
} satisfies Covers<Omit<GenerateOptions, keyof GenerationOptions>>;
