import type { PullOptions, ResolveModelOptions } from '@airllm/runtime';
import { type Covers, list, number, type OptionGroup } from './option';

const options = {
  files: list({
    name: 'include',
    value: '<pattern>',
    help: 'Take the files of these names instead of those a run needs, e.g. "*.json"; may be given several times.',
  }),
  connections: number({ value: '<n>', help: 'Connections in use at once, 1 to 64. Default: 8.' }),
  order: { declined: 'small files come first, then weights by name' },
  wanted: { declined: 'airllm run reads models while they come' },
  onFile: { declined: 'progress goes to stderr' },
  onDiscarded: { declined: 'what was thrown away is fetched anew' },
} satisfies Covers<Omit<PullOptions, keyof ResolveModelOptions>>;

/** How a repository is downloaded. */
export const downloadArgs: OptionGroup<typeof options> = { title: 'Download', options };
