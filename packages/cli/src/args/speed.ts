import { parseByteSize } from '@airllm/runtime';
import { type Option, type OptionGroup, text, toggle } from './option';

const disk: Option<number> = {
  value: '<rate>',
  help: 'Reckon with a drive of this speed, e.g. 3GB/s, instead of measuring the one here.',
  parse: (texts, flag) => parseByteSize(texts.at(-1)!.replace(/\s*\/\s*s$/i, ''), flag),
};

const estimateOptions = {
  disk,
  skipMeasuring: toggle({ name: 'no-measure', help: 'Do not measure this machine: no seconds but those of --disk.' }),
};
/** What predictions are made from. */
export const estimateSpeedArgs: OptionGroup<typeof estimateOptions> = { title: 'Speed', options: estimateOptions };

const doctorOptions = {
  dir: text({
    value: '<folder>',
    help: 'Folder whose drive is measured, by files that are there. Default: the model’s, else the present one.',
  }),
  writeTemporary: toggle({
    help: 'Where that folder holds nothing large enough to read, write 256 MiB there and delete them again.',
  }),
  disk,
};
/** What is measured. */
export const doctorSpeedArgs: OptionGroup<typeof doctorOptions> = { title: 'Measuring', options: doctorOptions };
