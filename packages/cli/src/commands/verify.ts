import { type ShardProgress, VerifyError, verifyShards } from '@airllm/shard';
import { workArgs } from '../args/output';
import { verifyArgs } from '../args/shard';
import { defineCommand } from '../command';
import { EXIT } from '../exit-codes';
import { ProgressBar } from '../output/progress-bar';
import { formatBytes, formatSeconds } from '../output/units';

export const verify = defineCommand({
  name: 'verify',
  summary: 'Reads a split checkpoint back and compares every byte with its checksums.',
  positionals: [{ name: 'dir', help: 'Folder that airllm shard wrote.' }],
  details: ['Names every file and tensor that is not as it was written, and then ends with exit code 1.'],
  examples: [
    ['airllm verify ./llama-70b-layers', 'after copying it somewhere, or once a year'],
    ['airllm verify ./layers --json --quiet | jq .problems', 'for programs'],
  ],
  groups: { verify: verifyArgs, output: workArgs },
  async run({ terminal, signal }, [dir], values) {
    const bar = new ProgressBar<ShardProgress['phase']>(terminal, { split: 'splitting', verify: 'verifying' });
    try {
      const report = await bar.during((onProgress) => verifyShards(dir!, { ...values.verify, signal, onProgress }));
      const { files, tensors, bytes, seconds } = report;
      if (values.output.json) await terminal.printJson({ ok: true, ...report, problems: [] });
      else {
        const amount = `${files} files, ${tensors} tensors, ${formatBytes(bytes)}`;
        await terminal.print(`${report.dir}: ${amount}, all as written (${formatSeconds(seconds)})\n`);
      }
      return EXIT.ok;
    } catch (error) {
      if (!VerifyError.isInstance(error)) throw error;
      if (values.output.json) await terminal.printJson({ ok: false, dir: error.dir, problems: error.problems });
      else {
        for (const { file, tensor, reason } of error.problems) {
          await terminal.print(`${[file, ...(tensor === null ? [] : [JSON.stringify(tensor)]), reason].join(': ')}\n`);
        }
      }
      throw error;
    }
  },
});
