import type { ResolveModelOptions } from '@airllm/runtime';
import { type Covers, type OptionGroup, text } from './option';

const options = {
  revision: text({
    value: '<name>',
    help: 'Branch, tag or commit of a repository in the cache. Default: main.',
  }),
  cacheDir: text({
    value: '<folder>',
    help: 'Folder of models: repositories as the Hugging Face hub caches them, converted copies in its folder airllm. Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub; for copies AIRLLM_CACHE, else ~/.cache/airllm.',
  }),
  signal: { declined: 'Ctrl-C is' },
} satisfies Covers<ResolveModelOptions>;

/** Where a model is found. */
export const modelArgs: OptionGroup<typeof options> = { title: 'Model', options };

const cacheOptions = { cacheDir: options.cacheDir };

/** Which caches are looked into. */
export const cacheArgs: OptionGroup<typeof cacheOptions> = { title: 'Cache', options: cacheOptions };
