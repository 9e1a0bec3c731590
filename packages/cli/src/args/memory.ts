import { type MemoryOptions, parseByteSize } from '@airllm/runtime';
import { type Covers, choice, number, type Option, type OptionGroup, text, toggle } from './option';

const size = (help: string): Option<number> => ({
  value: '<size>',
  help,
  parse: (texts, flag) => parseByteSize(texts.at(-1)!, flag),
});

const options = {
  memory: size(
    'Most memory the whole process may take, e.g. 4GB or 512MiB. Default: what it has and nine tenths of what is free.',
  ),
  weightsMemory: size(
    'Caps only the weights held in memory: pinned, ring and expert slots. Default: what --memory leaves.',
  ),
  contextLength: number({
    name: 'context',
    value: '<tokens>',
    help: 'Positions of prompt and answer to hold room for. Default: what the model was made for, at most 4096.',
  }),
  maxSequences: number({
    value: '<n>',
    help: 'Texts of that length to hold room for at a time; of shorter ones more are answered together. Default: 1.',
  }),
  kvCacheDtype: choice<NonNullable<MemoryOptions['kvCacheDtype']>>(
    { float32: true, bfloat16: true, int8: true },
    {
      help: 'How keys and values of the context are kept: bfloat16 takes half the memory, int8 a quarter. Default: float32.',
    },
  ),
  kvCachePlace: choice<NonNullable<MemoryOptions['kvCachePlace']>>(
    { auto: true, memory: true, disk: true },
    {
      help: 'Where they are kept: on disk each layer’s are read when it is its turn, at the same bytes. Default: auto, on disk where memory has no room for them.',
    },
  ),
  kvCacheDir: text({
    value: '<folder>',
    help: 'Folder for them on disk; nothing stays there. Default: state of AIRLLM_CACHE, else of ~/.cache/airllm.',
  }),
  structuredOutput: toggle({
    help: 'Set memory aside for JSON schemas that requests ask for (response_format); --json-schema implies it.',
  }),
  maxRows: { declined: 'batch has it; elsewhere the plan finds the widest pass that memory allows' },
  logitRows: { declined: 'perplexity asks for what it needs' },
} satisfies Covers<MemoryOptions>;

/** How much memory a model gets. */
export const memoryArgs: OptionGroup<typeof options> = { title: 'Memory', options };
