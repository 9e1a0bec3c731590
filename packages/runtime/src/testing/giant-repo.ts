import { createHash } from 'node:crypto';
import type { MetaTensor } from '@airllm/loader';
import { layoutHeader } from '@airllm/loader';
import { storedTensors } from '../models/model';
import { buildModel } from '../models/registry';
import type { HubContent } from './hub-server';

const SHARD_BYTES = 5e9;

/** The repository of a model of any size, as `save_pretrained` cuts it: real headers, and weights that are zeros. */
export function giantRepo(config: Readonly<Record<string, unknown>>): Record<string, HubContent | string> {
  const tensors = storedTensors(buildModel(config, { dtype: 'BF16' }));
  const shards = cut(tensors);
  const weightMap: Record<string, string> = {};
  const files: Record<string, HubContent | string> = { 'config.json': JSON.stringify(config) };
  for (const [i, shard] of shards.entries()) {
    const name = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const tensor of shard) weightMap[tensor.name] = name;
    const { bytes, fileBytes } = layoutHeader(shard, { metadata: { format: 'pt' }, alignData: 8, alignTensors: 1 });
    files[name] = headed(bytes, fileBytes, name);
  }
  files['model.safetensors.index.json'] = JSON.stringify({ metadata: {}, weight_map: weightMap });
  return files;
}

function cut(tensors: readonly MetaTensor[]): MetaTensor[][] {
  const shards: MetaTensor[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes + tensor.byteLength > SHARD_BYTES && bytes > 0) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += tensor.byteLength;
  }
  return shards;
}

function headed(header: Uint8Array, size: number, name: string): HubContent {
  const sha256 = createHash('sha256').update(name).digest('hex');
  return {
    size,
    hashes: { oid: sha256.slice(0, 40), sha256 },
    read(from, to) {
      const bytes = new Uint8Array(to - from);
      if (from < header.length) bytes.set(header.subarray(from, Math.min(to, header.length)));
      return bytes;
    },
  };
}

function number(value: number): string {
  return String(value).padStart(5, '0');
}
