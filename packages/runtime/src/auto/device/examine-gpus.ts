import type { Provider } from '@airllm/kernels';
import type { MeasuredDType } from '../../measure/chain';
import { fastestProvider, measureGpus, type ProviderSpeeds, type UnusableProvider } from '../../measure/gpus';
import { type ByteSize, parseByteSize } from '../byte-size';
import { rememberGpuChoice } from './gpu-choice';
import { freeGpuMemory, mayHaveGpu } from './gpu-memory';

/** What {@link examineGpus} measures with. */
export interface ExamineGpusOptions {
  /** Most of the GPU's memory to take while it is measured. @defaultValue what is free, at most 1 GiB */
  readonly vram?: ByteSize | undefined;
  /** Of the weights to measure with. @defaultValue 'BF16' */
  readonly dtype?: MeasuredDType | undefined;
  /** Only these, whether there is a graphics card or not. @defaultValue what this platform's can have */
  readonly providers?: readonly Provider[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The providers of this machine's GPU, measured. */
export interface ExaminedGpus {
  readonly providers: readonly (ProviderSpeeds | UnusableProvider)[];
  /** What `provider: 'auto'` takes from now on; null where none can be used, or not all were to be measured. */
  readonly chosen: Provider | null;
}

const ENOUGH = 2 ** 30;

/**
 * Measures what can drive this machine's GPU, and keeps which of it is the quickest, for `openDevice`. Null without a
 * graphics card. Throws `OptionError`, file system errors, and the signal's reason.
 */
export async function examineGpus(options: ExamineGpusOptions = {}): Promise<ExaminedGpus | null> {
  const { vram, dtype = 'BF16', providers, signal } = options;
  if (providers === undefined && !(await mayHaveGpu())) return null;
  const deviceMemory =
    vram === undefined ? Math.min(ENOUGH, (await freeGpuMemory()) ?? ENOUGH) : parseByteSize(vram, 'vram');
  const measured = await measureGpus({ dtype, deviceMemory, providers, signal });
  // Of some of them nobody can tell which of all is the quickest.
  const chosen = providers === undefined ? fastestProvider(measured) : null;
  if (chosen !== null) await rememberGpuChoice(chosen);
  return { providers: measured, chosen };
}
