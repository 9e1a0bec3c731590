import type { ConversionProgress } from '@airllm/runtime';
import { ProgressBar } from './output/progress-bar';
import type { Terminal } from './output/terminal';
import { formatBytes } from './output/units';

/** Shows a conversion, which begins by saying what is written and where. */
export function conversionBar(terminal: Terminal) {
  const bar = new ProgressBar<ConversionProgress['phase']>(terminal, { split: 'converting', verify: 'verifying' });
  let told = false;
  return {
    during: <Result>(work: (onConversion: (progress: ConversionProgress) => void) => Promise<Result>) =>
      bar.during((show) =>
        work((progress) => {
          if (!told) terminal.note(introduction(progress));
          told = true;
          show(progress);
        }),
      ),
  };
}

function introduction({ quantisation, bytesTotal, dir }: ConversionProgress): string {
  const what = quantisation === null ? 'these weights are' : `weights quantised by ${quantisation} are`;
  return `${what} converted once, ${formatBytes(bytesTotal)} into ${dir}\n`;
}
