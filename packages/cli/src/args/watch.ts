import { type OptionGroup, text, toggle } from './option';

const options = {
  trace: text({
    value: '<file>',
    help: 'Write what was read, waited for and computed, and when, for ui.perfetto.dev or chrome://tracing.',
  }),
  stats: toggle({
    help: 'Show on stderr, while it runs: tokens/s, GB/s read, share of time waiting for the drive, share resident.',
  }),
};
/** Watching a run. */
export const watchArgs: OptionGroup<typeof options> = { title: 'Watching', options };
