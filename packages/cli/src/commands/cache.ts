import { type ConversionCacheOptions, listConverted, removeConverted } from '@airllm/runtime';
import { modelArgs } from '../args/model';
import { reportArgs } from '../args/output';
import { defineCommand } from '../command';
import { UsageError } from '../errors';
import { EXIT } from '../exit-codes';
import { nearest } from '../nearest';
import { table } from '../output/table';
import { formatBytes } from '../output/units';

export const cache = defineCommand({
  name: 'cache',
  summary: 'Lists and removes the copies of models that had to be converted before they could run.',
  positionals: [
    { name: 'ls|rm', help: 'ls lists the copies, rm removes one.' },
    { name: 'copy', help: 'For rm: its name, or the folder or file it was made from.', optional: true },
  ],
  details: [
    'A copy is made by the first run of a model whose stored layout cannot be computed with. It is stale once its source has changed, and incomplete if its making was interrupted; the next run puts both right.',
    'Removing a copy never touches what it was made from.',
  ],
  examples: [
    ['airllm cache ls', 'names, states and sizes'],
    ['airllm cache rm ./model.gguf', 'frees the disk; the next run converts again'],
  ],
  groups: { model: { ...modelArgs, options: { cacheDir: modelArgs.options.cacheDir } }, output: reportArgs },
  async run({ terminal }, [action, which], values) {
    if (action === 'ls') {
      if (which !== undefined) throw new UsageError(`unexpected argument "${which}": airllm cache ls`);
      const copies = await listConverted(values.model);
      const lines = copies.map(({ name, state, bytes, source }): [string, string] => {
        return [name, `${formatBytes(bytes)}, ${state}${source === null ? '' : `, from ${source}`}`];
      });
      await (values.output.json ? terminal.printJson(copies) : terminal.print(lines.length === 0 ? '' : table(lines)));
      return EXIT.ok;
    }
    if (action !== 'rm') throw new UsageError(`airllm cache: expected ls or rm, found "${action}"`);
    if (which === undefined) throw new UsageError('<copy> is missing: airllm cache rm <copy>');
    const removed = await removeConverted(which, values.model);
    if (removed.length === 0) throw await unknownCopy(which, values.model);
    if (values.output.json) await terminal.printJson(removed);
    else for (const { dir, bytes } of removed) await terminal.print(`removed ${dir}, ${formatBytes(bytes)}\n`);
    return EXIT.ok;
  },
});

async function unknownCopy(which: string, options: ConversionCacheOptions): Promise<UsageError> {
  const names = (await listConverted(options)).map(({ name }) => name);
  return new UsageError(`there is no converted copy "${which}", airllm cache ls lists them`, nearest(which, names));
}
