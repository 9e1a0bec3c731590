import { mkdir, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { layoutHeader } from '@airllm/loader';
import { buildModel, storedTensors } from '@airllm/runtime';
import { cutShards, shardName } from './synthetic';
import { tokenizerFiles } from './synthetic-tokenizer';

/**
 * A checkpoint of any size that takes no room: real headers, and files of the right length whose weights are holes.
 * Enough to open, plan, and time what happens before the first weight is read. Resolves to its bytes.
 */
export async function writeSparse(dir: string, config: Readonly<Record<string, unknown>>): Promise<number> {
  const full = { ...config, torch_dtype: 'bfloat16' };
  const tensors = storedTensors(buildModel(full, { dtype: 'BF16' }));
  await mkdir(dir, { recursive: true });
  // As save_pretrained cuts them.
  const shards = cutShards(tensors, 5e9);
  const weightMap: Record<string, string> = {};
  let total = 0;
  for (const [i, shard] of shards.entries()) {
    const name = shardName(i + 1, shards.length);
    const layout = layoutHeader(shard, { metadata: { format: 'pt' }, alignData: 8, alignTensors: 1 });
    const file = await open(path.join(dir, name), 'w');
    try {
      await file.write(layout.bytes);
      await file.truncate(layout.fileBytes);
    } finally {
      await file.close();
    }
    for (const tensor of shard) {
      weightMap[tensor.name] = name;
      total += tensor.byteLength;
    }
  }
  const files = {
    'config.json': full,
    'model.safetensors.index.json': { metadata: { total_size: total }, weight_map: weightMap },
    ...tokenizerFiles(Number(config.vocab_size)),
  };
  for (const [name, value] of Object.entries(files)) await writeFile(path.join(dir, name), JSON.stringify(value));
  return total;
}
