import type { ConversionCacheOptions, OpenWeightsOptions } from '@airllm/runtime';
import { type Covers, type OptionGroup, toggle } from './option';

const options = {
  convert: {
    ...toggle({ help: 'Refuse a model that has to be converted before it can run, instead of converting it.' }, false),
    name: 'no-convert',
  },
  onConversion: { declined: 'progress goes to stderr' },
  onDelay: { declined: 'told on stderr' },
  signal: { declined: 'Ctrl-C is' },
} satisfies Covers<Omit<OpenWeightsOptions, keyof ConversionCacheOptions>>;

/** What happens to a model whose stored layout cannot be computed with. */
export const conversionArgs: OptionGroup<typeof options> = { title: 'Conversion', options };
