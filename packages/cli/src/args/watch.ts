import { type OptionGroup, text, toggle } from './option';

const options = {
  trace: text({
    value: '<file>',
    help: 'Write what was read, waited for and computed, and when, for ui.perfetto.dev or chrome://tracing.',
  }),
  stats: toggle({
    help:
      'Show on stderr every second, while it runs: tokens/s (of prompts and guesses too), GB/s read in that second, ' +
      'for this token or ahead, share of time waiting for the drive, share resident.',
  }),
};
/** Watching a run. */
export const watchArgs: OptionGroup<typeof options> = { title: 'Watching', options };
