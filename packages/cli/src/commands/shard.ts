import { recordSharded, shardModel } from '@airllm/runtime';
import { type ShardProgress, type TargetLockedError, whenUnlocked } from '@airllm/shard';
import { modelArgs } from '../args/model';
import { type OptionGroup, toggle } from '../args/option';
import { workArgs } from '../args/output';
import { splitArgs } from '../args/shard';
import { defineCommand } from '../command';
import { EXIT } from '../exit-codes';
import { DelayNotes } from '../output/delay-notes';
import { DownloadBar } from '../output/download-bar';
import { ProgressBar } from '../output/progress-bar';
import { formatBytes, formatSeconds } from '../output/units';

const lockOptions = {
  wait: toggle({ help: 'Wait where another process is writing into <out>, instead of failing at once.' }),
};
const lockArgs: OptionGroup<typeof lockOptions> = { title: 'Locking', options: lockOptions };

export const shard = defineCommand({
  name: 'shard',
  summary: 'Splits a checkpoint into one safetensors file per layer (per expert), with checksums.',
  positionals: [
    {
      name: 'model',
      help: 'Folder, file with weights, or a repository (org/name, org/name@revision, org/name:Q4_K_M). It is never changed.',
    },
    { name: 'out', help: 'Folder to write; made if it is not there.' },
  ],
  details: [
    'A run that was interrupted, by Ctrl-C or a power cut, goes on where it stopped when it is started again. Free space is checked first.',
    'A repository that is not here is split while it is downloaded, each layer as soon as its bytes have come. The download stays in the cache; --delete-source-after-verify removes its weights at the end.',
    'The result runs like the source (airllm run <out>), and any reader of safetensors opens it. Splitting is not needed to run a model: it buys checksums, conversion and compression. airllm perplexity tells what a compression cost.',
  ],
  examples: [
    ['airllm shard ./Llama-3.1-70B ./llama-70b-layers', 'split, keeping every weight as it is'],
    ['airllm shard ./model-f32 ./model-bf16 --dtype bfloat16', 'half the size'],
    ['airllm shard ./model ./model-4bit --compress 4bit', 'a quarter of the size, and of the seconds a token takes'],
    ['airllm shard org/name ./layers', 'splits while it downloads'],
    ['airllm shard ./model ./layers --delete-source-after-verify', 'for drives with no room for both'],
  ],
  groups: { split: splitArgs, lock: lockArgs, model: modelArgs, output: workArgs },
  async run({ terminal, signal }, [model, out], values) {
    const download = new DownloadBar(terminal);
    const bar = new ProgressBar<ShardProgress['phase']>(terminal, { split: 'splitting', verify: 'verifying' });
    const onDelay = new DelayNotes(terminal).show;
    const work = () =>
      bar.during((show) => {
        // What is split while it comes is done with the download, or shortly after.
        const onProgress = (progress: ShardProgress) => void (download.isUnderWay || show(progress));
        const split = { ...values.split, onProgress };
        return shardModel(model!, out!, { ...values.model, split, signal, onProgress: download.show, onDelay });
      });
    const onWait = ({ pid, host }: TargetLockedError) =>
      terminal.note(`process ${pid} on ${host} is writing into ${out}; waiting for it\n`);
    const report = await (values.lock.wait ? whenUnlocked(work, { signal, onWait }) : work()).catch(
      (error: unknown) => {
        if (signal.aborted) terminal.note('stopped; the same command goes on from here\n');
        throw error;
      },
    );
    const { dir, source, filesWritten, bytesWritten, notCopied, deleted, seconds, manifest, errors } = report;
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
