import { AutoModel, type ConversionProgress, type FromPretrainedOptions, type LanguageModel } from '@airllm/runtime';
import type { Context } from './command';
import { DelayNotes } from './output/delay-notes';
import { DownloadBar } from './output/download-bar';
import { ProgressBar } from './output/progress-bar';
import { formatBytes } from './output/units';

/**
 * Opens a model; a download, which may go on while the model runs, is shown, and so is a conversion, which begins by saying
 * what is written and where.
 */
export function openModel(
  { terminal, signal }: Pick<Context, 'terminal' | 'signal'>,
  source: string,
  options: FromPretrainedOptions,
): Promise<LanguageModel> {
  const bar = new ProgressBar<ConversionProgress['phase']>(terminal, { split: 'converting', verify: 'verifying' });
  const download = new DownloadBar(terminal);
  let told = false;
  return bar.during((show) =>
    AutoModel.fromPretrained(source, {
      ...options,
      signal,
      onProgress: download.show,
      onDelay: new DelayNotes(terminal).show,
      onConversion: (progress) => {
        if (!told) terminal.note(introduction(progress));
        told = true;
        // What is converted while it comes is done with the download, or shortly after.
        if (!download.isUnderWay) show(progress);
      },
      onWarning: (message) => terminal.tell(`${message}\n`),
    }),
  );
}

function introduction({ quantisation, bytesTotal, dir, purpose }: ConversionProgress): string {
  if (purpose === 'draft') return `a 4-bit copy that drafts is made once, ${formatBytes(bytesTotal)} into ${dir}\n`;
  const what = quantisation === null ? 'these weights are' : `weights quantised by ${quantisation} are`;
  return `${what} converted once, ${formatBytes(bytesTotal)} into ${dir}\n`;
}
