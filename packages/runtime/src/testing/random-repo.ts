import { layoutHeader, type MetaTensor } from '@airllm/loader';
import { storedTensors } from '../models/model';
import { buildModel } from '../models/registry';

/** A repository of a small model with random float32 weights, in shards of at most so many bytes, in the order of the layers. */
export function randomRepo(
  config: Readonly<Record<string, unknown>>,
  shardBytes = Number.POSITIVE_INFINITY,
): Record<string, Uint8Array | string> {
  const tensors = storedTensors(buildModel(config, { dtype: 'F32' }));
  const shards = cut(tensors, shardBytes);
  const weightMap: Record<string, string> = {};
  const files: Record<string, Uint8Array | string> = { 'config.json': JSON.stringify(config) };
  let seed = 1;
  for (const [i, shard] of shards.entries()) {
    const name = shards.length === 1 ? 'model.safetensors' : `model-0000${i + 1}-of-0000${shards.length}.safetensors`;
    for (const tensor of shard) weightMap[tensor.name] = name;
    const { bytes, fileBytes } = layoutHeader(shard, { metadata: { format: 'pt' }, alignData: 8, alignTensors: 1 });
    const file = new Uint8Array(fileBytes);
    file.set(bytes);
    const values = new DataView(file.buffer);
    for (let at = bytes.length; at + 4 <= fileBytes; at += 4) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      values.setFloat32(at, (seed / 2 ** 32 - 0.5) / 8, true);
    }
    files[name] = file;
  }
  if (shards.length > 1) files['model.safetensors.index.json'] = JSON.stringify({ weight_map: weightMap });
  return files;
}

function cut(tensors: readonly MetaTensor[], shardBytes: number): MetaTensor[][] {
  const shards: MetaTensor[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes + tensor.byteLength > shardBytes && bytes > 0) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += tensor.byteLength;
  }
  return shards;
}
