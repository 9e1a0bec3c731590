import type { Compression, ShardDType, SplitOptions, VerifyOptions } from '@airllm/shard';
import { type Covers, choice, number, type OptionGroup, toggle } from './option';

const common = {
  concurrency: number({
    value: '<n>',
    help: 'Files worked on at a time, 1 to 16, each by a thread. Default: 2 to 4, by the processors.',
  }),
  signal: { declined: 'Ctrl-C is' },
  onProgress: { declined: 'progress goes to stderr' },
} satisfies Covers<VerifyOptions>;

const splitOptions = {
  dtype: choice<ShardDType>(
    { float32: true, float16: true, bfloat16: true },
    {
      help: 'Convert floating point weights to this type. Default: every weight keeps its stored bytes.',
    },
  ),
  compress: choice<Compression>(
    { '8bit': true, '4bit': true, nf4: true },
    {
      help: 'Compress the matrices of the layers, with scales searched for the least error; the head becomes 8 bits, the rest stays as it is. Default: nothing is compressed.',
    },
  ),
  restart: toggle({ help: 'Discard what an earlier run left in <out> instead of resuming it.' }),
  deleteSource: toggle(
    {
      name: 'delete-source-after-verify',
      help: 'Remove the source’s weight files once every byte of <out> has been read back and found right.',
    },
    'after-verify',
  ),
  arriving: { declined: 'a repository is split while it comes' },
  ...common,
} satisfies Covers<SplitOptions>;

/** How a checkpoint is split. */
export const splitArgs: OptionGroup<typeof splitOptions> = { title: 'Splitting', options: splitOptions };

/** How a split checkpoint is verified. */
export const verifyArgs: OptionGroup<typeof common> = { title: 'Verifying', options: common };
