import { readFolderAndOptions, UsageError } from './arguments';
import { madeUpConfig, SHAPE_NAMES } from './shapes';
import { writeSynthetic } from './synthetic';

export const usage = `bench synthetic <dir> --shape ${SHAPE_NAMES.join('|')} | --config <config.json>
                      [--layers N] [--dtype F32|F16|BF16] [--shard-gb 5]`;

/** Writes a checkpoint with random weights, for other benches and for trying things out. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    shape: undefined,
    config: undefined,
    layers: undefined,
    dtype: 'BF16',
    'shard-gb': '5',
  });
  const config = await madeUpConfig(values);
  const { dtype } = values;
  if (config === undefined || (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16')) {
    throw new UsageError(usage);
  }
  const started = performance.now();
  const bytes = await writeSynthetic(dir, config, {
    layers: values.layers === undefined ? undefined : Number(values.layers),
    dtype,
    shardBytes: Number(values['shard-gb']) * 1e9,
  });
  const seconds = (performance.now() - started) / 1000;
  console.log(`${(bytes / 1e9).toFixed(2)} GB in ${seconds.toFixed(1)} s (${(bytes / seconds / 1e9).toFixed(2)} GB/s)`);
}
