import type {
  DeviceOptions,
  FromPretrainedOptions,
  MemoryOptions,
  OpenWeightsOptions,
  ResolveModelOptions,
  SpeculationOptions,
} from '@airllm/runtime';
import { type Covers, choice, number, type OptionGroup } from './option';

type Name<Key extends 'executor' | 'computeDtype' | 'reader'> = NonNullable<FromPretrainedOptions[Key]>;

const options = {
  executor: choice<Name<'executor'>>(
    { auto: true, native: true, onnx: true, reference: true },
    {
      help: 'What computes on the CPU. Default: auto, which is native where its library exists, else onnx (onnxruntime), else reference (slow).',
    },
  ),
  threads: number({ value: '<n>', help: 'Threads that compute. Default: as many as the machine runs at once.' }),
  computeDtype: choice<Name<'computeDtype'>>(
    { auto: true, float32: true, bfloat16: true },
    {
      help: 'What bf16 weights are multiplied with. auto is bfloat16 where the CPU has it, which reads prompts faster. Default: float32.',
    },
  ),
  reader: choice<Name<'reader'>>(
    { auto: true, direct: true, plain: true },
    {
      help: 'How weights are read: past the page cache, or through it. Default: auto, direct where the drive allows it.',
    },
  ),
  observe: { declined: '--trace and --stats of run do' },
  onWarning: { declined: 'warnings go to stderr' },
} satisfies Covers<
  Omit<
    FromPretrainedOptions,
    | keyof ResolveModelOptions
    | keyof OpenWeightsOptions
    | keyof MemoryOptions
    | keyof DeviceOptions
    | keyof SpeculationOptions
  >
>;

/** What runs the model. */
export const engineArgs: OptionGroup<typeof options> = { title: 'Execution', options };
