import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type MetaTensor, SafetensorsWriter, tensorBytes } from '@airllm/loader';
import { buildModel, storedTensors } from '@airllm/runtime';
import { tokenizerFiles } from './synthetic-tokenizer';

export interface SyntheticOptions {
  /** Replaces `num_hidden_layers`. */
  layers?: number | undefined;
  /** Default BF16. */
  dtype?: 'F32' | 'F16' | 'BF16' | undefined;
  /** Largest shard in bytes, default 5e9 as save_pretrained's. */
  shardBytes?: number | undefined;
  /** Force everything to the drive. Default true. */
  fsync?: boolean | undefined;
}

/**
 * Writes a Hugging Face checkpoint with random weights for any config.json that the runtime can build, at the drive's
 * speed: one random block (standard deviation 0.02, so activations stay finite) is repeated through every matrix from
 * another offset. Vectors (norms) are ones. Shards are cut and sorted as save_pretrained does. Resolves to its bytes.
 */
export async function writeSynthetic(
  dir: string,
  config: Readonly<Record<string, unknown>>,
  options: SyntheticOptions = {},
): Promise<number> {
  const { layers, dtype = 'BF16', shardBytes = 5e9, fsync = true } = options;
  const full: Record<string, unknown> = { ...config, torch_dtype: TORCH_DTYPE[dtype] };
  if (layers !== undefined) full.num_hidden_layers = layers;
  const tensors = storedTensors(buildModel(full, { dtype }));
  await mkdir(dir, { recursive: true });
  const shards = cutShards(tensors, shardBytes);
  const weightMap: Record<string, string> = {};
  const source = new RandomBytes(dtype);
  let total = 0;
  for (const [i, shard] of shards.entries()) {
    const file = shards.length === 1 ? 'model.safetensors' : shardName(i + 1, shards.length);
    const writer = await SafetensorsWriter.create(path.join(dir, file), shard, {
      metadata: { format: 'pt' },
      // As Python's library writes them.
      alignData: 8,
      alignTensors: 1,
      fsync,
    });
    try {
      for (const { name, shape, byteLength } of shard) {
        await writer.write(name, shape.length === 1 ? ones(dtype, shape) : source.take(byteLength));
        weightMap[name] = file;
        total += byteLength;
      }
      await writer.finish();
    } finally {
      await writer.abort();
    }
  }
  const files: Record<string, unknown> = { 'config.json': full, ...tokenizerFiles(Number(full.vocab_size)) };
  if (shards.length > 1) {
    files['model.safetensors.index.json'] = { metadata: { total_size: total }, weight_map: weightMap };
  }
  for (const [name, value] of Object.entries(files)) {
    await writeFile(path.join(dir, name), `${JSON.stringify(value, null, 1)}\n`);
  }
  return total;
}

const TORCH_DTYPE = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

export function cutShards(tensors: readonly MetaTensor[], limit: number): MetaTensor[][] {
  const shards: MetaTensor[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    if (size + tensor.byteLength > limit && shards.at(-1)!.length > 0) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += tensor.byteLength;
  }
  return shards.map((shard) => shard.sort((a, b) => (a.name < b.name ? -1 : 1)));
}

export function shardName(number: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, '0');
  return `model-${digits(number)}-of-${digits(count)}.safetensors`;
}

/** Little-endian values of mean 0 and standard deviation 0.02, from a fixed seed. */
class RandomBytes {
  readonly #block: Uint8Array;
  #state = 0x2545f491;

  constructor(dtype: 'F32' | 'F16' | 'BF16') {
    const width = tensorBytes(dtype, [1]);
    // An odd number of elements, so that rows of a matrix differ.
    const values = Float32Array.from({ length: (8 << 20) / width - 17 }, () => this.#normal() * 0.02);
    if (dtype === 'F32') this.#block = new Uint8Array(values.buffer);
    else {
      const encode = dtype === 'BF16' ? toBfloat16 : toFloat16;
      this.#block = new Uint8Array(Uint16Array.from(values, encode).buffer);
    }
  }

  /** Bytes for one matrix; each begins somewhere else in the block. */
  *take(byteLength: number): Generator<Uint8Array> {
    let from = (this.#next() % (this.#block.length / 4)) * 4;
    for (let left = byteLength; left > 0; ) {
      const piece = this.#block.subarray(from, Math.min(this.#block.length, from + left));
      yield piece;
      left -= piece.length;
      from = 0;
    }
  }

  /** xorshift32. */
  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** Sum of four uniforms, scaled to variance 1: near enough, and bounded. */
  #normal(): number {
    let sum = 0;
    for (let i = 0; i < 4; i++) sum += this.#next() / 2 ** 32;
    return (sum - 2) * Math.sqrt(3);
  }
}

function ones(dtype: 'F32' | 'F16' | 'BF16', shape: readonly number[]): Uint8Array {
  const count = shape[0]!;
  if (dtype === 'F32') return new Uint8Array(new Float32Array(count).fill(1).buffer);
  return new Uint8Array(new Uint16Array(count).fill(dtype === 'BF16' ? 0x3f80 : 0x3c00).buffer);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Cut off, not rounded: these are random numbers. */
function toBfloat16(value: number): number {
  float[0] = value;
  return bits[0]! >>> 16;
}

/** The same for values between 2^-14 and 1; smaller ones become zero. */
function toFloat16(value: number): number {
  float[0] = value;
  const magnitude = bits[0]! & 0x7fffffff;
  return magnitude < 0x38800000 ? 0 : ((bits[0]! >>> 16) & 0x8000) | ((magnitude - 0x38000000) >>> 13);
}
