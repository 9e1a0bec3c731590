import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { SHAPE_NAMES, shapeConfig } from './shapes';
import { writeSynthetic } from './synthetic';

export const usage = `bench synthetic <dir> --shape ${SHAPE_NAMES.join('|')} | --config <config.json>
                      [--layers N] [--dtype F32|F16|BF16] [--shard-gb 5]`;

/** Writes a checkpoint with random weights, for other benches and for trying things out. */
export async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      shape: { type: 'string' },
      config: { type: 'string' },
      layers: { type: 'string' },
      dtype: { type: 'string', default: 'BF16' },
      'shard-gb': { type: 'string', default: '5' },
    },
  });
  const [dir] = positionals;
  const config =
    values.config === undefined ? shapeConfig(values.shape ?? '') : JSON.parse(await readFile(values.config, 'utf8'));
  const { dtype } = values;
  if (dir === undefined || config === undefined || (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16')) {
    throw new Error(`usage: ${usage}`);
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
