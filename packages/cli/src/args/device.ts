import { type DeviceOptions, parseByteSize } from '@airllm/runtime';
import { type Covers, choice, type OptionGroup, text } from './option';

const options = {
  device: choice<NonNullable<DeviceOptions['device']>>(
    { auto: true, cpu: true, gpu: true },
    {
      help: 'Who computes. gpu: all of the model, uploading for each token what its memory cannot hold. auto: a GPU the layers its memory holds, the CPU the others. Default: cpu.',
    },
  ),
  vram: {
    value: '<size>',
    help: "Most of the GPU's memory to take, e.g. 4GB. Default: nine tenths of what is free, where that can be told.",
    parse: (texts: readonly string[], flag: string) => parseByteSize(texts.at(-1)!, flag),
  },
  provider: choice<NonNullable<DeviceOptions['provider']>>(
    { auto: true, webgpu: true, cuda: true, dml: true, coreml: true, cpu: true },
    {
      help: 'What of onnxruntime drives the GPU. webgpu keeps all there; cuda, dml and coreml only weights that stay. Default: the one that doctor measured to be the quickest here, else webgpu.',
    },
  ),
  planFile: text({
    name: 'plan',
    value: '<file>',
    help: 'Keeps which blocks the GPU computes: followed where the file exists, written where it does not.',
  }),
} satisfies Covers<DeviceOptions>;

/** Which memories the model is placed in. */
export const deviceArgs: OptionGroup<typeof options> = { title: 'GPU', options };
