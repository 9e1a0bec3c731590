import { recordSharded } from '@airllm/runtime';
import { type ShardProgress, splitCheckpoint } from '@airllm/shard';
import { modelArgs } from '../args/model';
import { workArgs } from '../args/output';
import { splitArgs } from '../args/shard';
import { defineCommand } from '../command';
import { EXIT } from '../exit-codes';
import { weightsSource } from '../model-files';
import { DownloadBar } from '../output/download-bar';
import { ProgressBar } from '../output/progress-bar';
import { formatBytes, formatSeconds } from '../output/units';

export const shard = defineCommand({
  name: 'shard',
  summary: 'Splits a checkpoint into one safetensors file per layer (per expert), with checksums.',
  positionals: [
    {
      name: 'model',
      help: 'Folder, .safetensors file or index, or a repository id. It is never changed.',
    },
    { name: 'out', help: 'Folder to write; made if it is not there.' },
  ],
  details: [
    'A run that was interrupted, by Ctrl-C or a power cut, goes on where it stopped when it is started again. Free space is checked first.',
    'The result runs like the source (airllm run <out>), and any reader of safetensors opens it. Splitting is not needed to run a model: it buys checksums, conversion and compression. airllm perplexity tells what a compression cost.',
  ],
  examples: [
    ['airllm shard ./Llama-3.1-70B ./llama-70b-layers', 'split, keeping every weight as it is'],
    ['airllm shard ./model-f32 ./model-bf16 --dtype bfloat16', 'half the size'],
    ['airllm shard ./model ./model-4bit --compress 4bit', 'a quarter of the size, and of the seconds a token takes'],
    ['airllm shard ./model ./layers --delete-source-after-verify', 'for drives with no room for both'],
  ],
  groups: { split: splitArgs, model: modelArgs, output: workArgs },
  async run({ terminal, signal }, [model, out], values) {
    const onProgress = new DownloadBar(terminal).show;
    const source = await weightsSource(model!, { ...values.model, onProgress }, signal);
    const bar = new ProgressBar<ShardProgress['phase']>(terminal, { split: 'splitting', verify: 'verifying' });
    const report = await bar
      .during((onProgress) => splitCheckpoint(source, out!, { ...values.split, signal, onProgress }))
      .catch((error: unknown) => {
        if (signal.aborted) terminal.note('stopped; the same command goes on from here\n');
        throw error;
      });
    const { dir, filesWritten, bytesWritten, notCopied, deleted, seconds, manifest, errors } = report;
    // For airllm ls. Where the note cannot be written, the copy is as good.
    await recordSharded(dir, source, values.model).catch(() => {});
    if (values.output.json) {
      const weightFiles = manifest.files.length;
      const written = { dir, weightFiles, filesWritten, bytesWritten, notCopied, deleted, seconds };
      await terminal.printJson({ ...written, errors: Object.fromEntries(errors) });
      return EXIT.ok;
    }
    if (notCopied.length > 0) terminal.note(`left behind in the source: ${notCopied.join(', ')}\n`);
    if (errors.size > 0) terminal.note(errorsLine(errors));
    if (deleted.length > 0) terminal.note(`verified; removed ${deleted.length} files of the source\n`);
    await terminal.print(
      filesWritten === 0
        ? `${dir}: already complete, ${manifest.files.length} files of weights\n`
        : `${dir}: ${filesWritten} files, ${formatBytes(bytesWritten)} written in ${formatSeconds(seconds)}\n`,
    );
    return EXIT.ok;
  },
});

/** What compression lost: root mean square of the error over that of the weights. */
function errorsLine(errors: ReadonlyMap<string, number>): string {
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const sorted = [...errors].sort(([, a], [, b]) => b - a);
  const mean = sorted.reduce((sum, [, error]) => sum + error, 0) / sorted.length;
  const [name, worst] = sorted[0]!;
  return `${sorted.length} matrices compressed; error ${percent(mean)} of the weights in the mean, at most ${percent(worst)} (${name})\n`;
}
