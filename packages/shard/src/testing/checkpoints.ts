import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type DType, openCheckpoint, type TensorSpec, tensorBytes, writeSafetensors } from '@airllm/loader';

/** Bytes that look random and depend on the seed alone. */
export function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = Math.imul(seed, 2654435761) | 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x >>> 0;
  }
  return new Uint8Array(words.buffer, 0, length);
}

export interface SmallModel {
  layers?: number;
  hidden?: number;
  intermediate?: number;
  vocabulary?: number;
  experts?: number;
  dtype?: DType;
  /** Matrices of layers as bitsandbytes' LLM.int8() publishes them, which a split has to convert. */
  int8?: boolean;
  /** Float32 weights that are spread like real ones, rather than random bits. */
  normal?: boolean;
  /** More tensors, each in the first shard. */
  extra?: readonly TensorSpec[];
  shards?: number;
}

/** Names and shapes of a small Llama or, with experts, Mixtral. */
export function smallModel(model: SmallModel = {}): TensorSpec[] {
  const { layers = 3, hidden = 40, intermediate = 100, vocabulary = 77, experts = 0, dtype = 'BF16' } = model;
  const tensor = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype, shape });
  const gated = (prefix: string, [gate, up, down]: readonly string[]) => [
    tensor(`${prefix}.${gate}.weight`, intermediate, hidden),
    tensor(`${prefix}.${up}.weight`, intermediate, hidden),
    tensor(`${prefix}.${down}.weight`, hidden, intermediate),
  ];
  const layer = (n: number) => [
    tensor(`model.layers.${n}.input_layernorm.weight`, hidden),
    ...['q', 'k', 'v', 'o'].map((which) => tensor(`model.layers.${n}.self_attn.${which}_proj.weight`, hidden, hidden)),
    tensor(`model.layers.${n}.self_attn.q_proj.bias`, hidden + 1),
    tensor(`model.layers.${n}.post_attention_layernorm.weight`, hidden),
    ...(experts === 0
      ? gated(`model.layers.${n}.mlp`, ['gate_proj', 'up_proj', 'down_proj'])
      : [
          tensor(`model.layers.${n}.block_sparse_moe.gate.weight`, experts, hidden),
          ...Array.from({ length: experts }, (_, e) =>
            gated(`model.layers.${n}.block_sparse_moe.experts.${e}`, ['w1', 'w3', 'w2']),
          ).flat(),
        ]),
  ];
  const layerTensors = Array.from({ length: layers }, (_, n) => layer(n)).flat();
  return [
    tensor('model.embed_tokens.weight', vocabulary, hidden),
    ...(model.int8 ? layerTensors.flatMap(asInt8) : layerTensors),
    tensor('model.norm.weight', hidden),
    tensor('lm_head.weight', vocabulary, hidden),
    ...(model.extra ?? []),
  ];
}

/** Codes and a statistic per row. */
function asInt8(spec: TensorSpec): TensorSpec[] {
  if (spec.shape.length !== 2) return [spec];
  const statistics = { name: spec.name.replace(/weight$/, 'SCB'), dtype: 'F32', shape: [spec.shape[0]!] } as const;
  return [{ ...spec, dtype: 'I8' }, statistics];
}

/** Writes a checkpoint as publishers do: sorted by name, unaligned, with the usual files beside it. */
export async function writeCheckpoint(dir: string, model: SmallModel = {}, seed = 1): Promise<string> {
  await mkdir(dir, { recursive: true });
  const { shards = 1 } = model;
  const tensors = smallModel(model).sort((a, b) => (a.name < b.name ? -1 : 1));
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const file = shards === 1 ? 'model.safetensors' : `model-0000${shard + 1}-of-0000${shards}.safetensors`;
    const mine = tensors.filter((_, i) => Math.floor((i * shards) / tensors.length) === shard);
    for (const { name } of mine) weightMap[name] = file;
    const data = mine.map((spec, i) => {
      const random = noise(tensorBytes(spec.dtype, spec.shape), seed * 1000 + i);
      if (model.normal) return { ...spec, data: spreadFloats(random) };
      return { ...spec, data: spec.name.endsWith('.SCB') ? plainFloats(random) : random };
    });
    await writeSafetensors(path.join(dir, file), data, { alignData: 8, alignTensors: 1, fsync: false });
  }
  if (shards > 1) {
    await writeFile(path.join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
  }
  await writeFile(
    path.join(dir, 'config.json'),
    '{\n "model_type": "llama", "rms_norm_eps": 1e-05, "torch_dtype": "bfloat16"\n}\n',
  );
  await writeFile(path.join(dir, 'tokenizer.json'), '{"model":{}}');
  return dir;
}

/** Float32 from 1 to 2: arithmetic on random bits would meet NaNs, whose payload is nobody's promise. */
function plainFloats(bytes: Uint8Array): Uint8Array {
  const words = new Uint32Array(bytes.slice().buffer);
  return new Uint8Array(words.map((word) => 0x3f800000 | (word & 0x7fffff)).buffer);
}

/** Float32 from random bits, spread like a trained matrix: sums of four uniform numbers. */
function spreadFloats(bytes: Uint8Array): Uint8Array {
  const floats = Float32Array.from({ length: bytes.length / 4 }, (_, i) => {
    const sum = bytes[4 * i]! + bytes[4 * i + 1]! + bytes[4 * i + 2]! + bytes[4 * i + 3]!;
    return (sum - 510) * 1e-4;
  });
  return new Uint8Array(floats.buffer);
}

/** Every tensor of a checkpoint with its bytes. */
export async function readTensors(
  dirOrFile: string,
): Promise<Map<string, { dtype: DType; shape: readonly number[]; bytes: Buffer }>> {
  const { tensors } = await openCheckpoint(dirOrFile);
  const files = new Map<string, Buffer>();
  const found = new Map<string, { dtype: DType; shape: readonly number[]; bytes: Buffer }>();
  for (const { name, dtype, shape, extent } of tensors.values()) {
    const { file, offset, length } = extent!;
    if (!files.has(file)) files.set(file, await readFile(file));
    found.set(name, { dtype, shape, bytes: files.get(file)!.subarray(offset, offset + length) });
  }
  return found;
}

/** Every file of a folder, by relative name. */
export async function readFolder(dir: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = new Map<string, Buffer>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const full = path.join(entry.parentPath ?? entry.path, entry.name);
    files.set(path.relative(dir, full), await readFile(full));
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The same as hashes: comparing large buffers element by element takes minutes. */
export async function hashFolder(dir: string): Promise<Record<string, string>> {
  const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  return Object.fromEntries([...(await readFolder(dir))].map(([name, bytes]) => [name, hash(bytes)]));
}
