import type { ResolveModelOptions } from '@airllm/runtime';
import { type Covers, choice, type OptionGroup, text, toggle } from './option';

const options = {
  revision: text({
    value: '<name>',
    help: 'Branch, tag or commit of a repository. Default: main.',
  }),
  cacheDir: text({
    value: '<folder>',
    help: 'Folder of models: repositories as the Hugging Face hub caches them, converted copies in its folder airllm. Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub; for copies AIRLLM_CACHE, else ~/.cache/airllm.',
  }),
  weights: choice(
    { auto: true, safetensors: true, bin: true, gguf: true },
    { help: 'Which weights of a repository to take. Default: safetensors where there are any, else .bin, else GGUF.' },
  ),
  quantisation: text({
    value: '<name>',
    help: 'Which GGUF file of a repository to take, such as Q8_0; org/name:Q8_0 says the same. Default: the only one, else Q4_K_M.',
  }),
  offline: toggle({
    help: 'Takes what the cache has, and asks no network. Default: HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE.',
  }),
  endpoint: { declined: 'HF_ENDPOINT names it' },
  token: { declined: 'arguments are seen by every user of a machine: HF_TOKEN, or `hf auth login`' },
  retry: { declined: 'eight attempts in a row without a new byte, with growing pauses' },
  stallTimeoutMs: { declined: '20 seconds suit every network' },
  onProgress: { declined: 'shown as a bar' },
  onDelay: { declined: 'told on stderr' },
  signal: { declined: 'Ctrl-C is' },
} satisfies Covers<ResolveModelOptions>;

/** Where a model is found. */
export const modelArgs: OptionGroup<typeof options> = { title: 'Model', options };

const cacheOptions = { cacheDir: options.cacheDir };

/** Which caches are looked into. */
export const cacheArgs: OptionGroup<typeof cacheOptions> = { title: 'Cache', options: cacheOptions };
