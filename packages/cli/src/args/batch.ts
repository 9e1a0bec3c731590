import { number, type OptionGroup } from './option';

const options = {
  maxRows: number({
    value: '<n>',
    help: 'Most rows of one pass: tokens of prompts, and answers that advance together. Default: what memory allows and what the drive’s and the processor’s speeds make worthwhile.',
  }),
  maxActive: number({
    value: '<n>',
    help: 'Most requests that are worked on at once. Default: as many as memory for their states allows.',
  }),
};
/** How wide a batch is. */
export const batchArgs: OptionGroup<typeof options> = { title: 'Batch', options };
