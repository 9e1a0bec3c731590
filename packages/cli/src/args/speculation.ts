import type { SpeculationOptions } from '@airllm/runtime';
import { type Covers, choice, type OptionGroup, text } from './option';

const options = {
  speculate: choice<NonNullable<SpeculationOptions['speculate']>>(
    { auto: true, off: true, lookup: true, self: true },
    {
      help: 'Who guesses tokens that one pass then verifies together; answers stay the same. lookup: what the text repeats. self: a 4-bit copy of the model, made once. Default: auto, which is --draft-model, else lookup.',
    },
  ),
  draftModel: text({
    value: '<model>',
    help: 'A smaller model with the same tokenizer, held in memory, to guess tokens.',
  }),
} satisfies Covers<SpeculationOptions>;

/** Several tokens from one pass. */
export const speculationArgs: OptionGroup<typeof options> = { title: 'Speculation', options };
