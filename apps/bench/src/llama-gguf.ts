import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Checkpoint, openCheckpoint } from '@airllm/loader';
import { type GgufTensor, type GgufValue, layoutGguf } from './gguf';

/** Reads and writes in pieces of about this size. */
const PIECE_BYTES = 16 * 2 ** 20;

const NAMES: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

/**
 * Writes a Llama checkpoint in bf16 as one GGUF file for llama.cpp: the same bits in every matrix, norms widened to
 * f32. Nothing of the size of the model is held in memory. Throws where the checkpoint is of another kind.
 */
export async function writeLlamaGguf(dir: string, file: string): Promise<void> {
  const checkpoint = await openCheckpoint(dir);
  const { config } = checkpoint;
  if (config?.model_type !== 'llama') {
    throw new Error(`${dir}: model_type is ${JSON.stringify(config?.model_type)}, only llama can be written as GGUF`);
  }
  const tensors = planTensors(dir, checkpoint, config);
  const words = await vocabulary(dir, Number(config.vocab_size));
  const layout = layoutGguf(
    { ...architecture(config), ...tokenizer(words, config) },
    tensors.map(({ target }) => target),
  );
  // A file that is there is whole.
  const partial = `${file}.partial`;
  const out = await open(partial, 'w');
  try {
    await out.write(layout.header, 0, layout.header.length, 0);
    for (const [i, tensor] of tensors.entries()) await copyTensor(tensor, out, layout.places[i]!.offset);
    await out.truncate(layout.fileBytes);
    await out.sync();
    await out.close();
    await rename(partial, file);
  } catch (error) {
    await out.close().catch(() => {});
    await rm(partial, { force: true });
    throw error;
  }
}

/** The name llama.cpp gives a tensor. Throws for a name that no Llama has. */
export function ggufName(name: string): string {
  const stem = name.replace(/\.weight$/, '');
  const [, layer, rest] = /^model\.layers\.(\d+)\.(.+)$/.exec(stem) ?? [null, null, stem];
  const target = Object.hasOwn(NAMES, rest!) ? NAMES[rest!] : undefined;
  if (target === undefined) throw new Error(`tensor ${name} has no counterpart in a Llama GGUF`);
  return `${layer === null ? '' : `blk.${layer}.`}${target}.weight`;
}

/**
 * Rows of one head, reordered from halves to neighbouring pairs, as llama.cpp rotates them. `rows` holds the head's rows
 * one after the other.
 */
export function interleaveHalves(rows: Uint8Array, headDim: number): Uint8Array {
  const width = rows.length / headDim;
  const out = new Uint8Array(rows.length);
  for (let row = 0; row < headDim; row++) {
    const to = row < headDim / 2 ? 2 * row : 2 * (row - headDim / 2) + 1;
    out.set(rows.subarray(row * width, (row + 1) * width), to * width);
  }
  return out;
}

/** bf16 to f32: the upper half of the bits. */
export function widen(bf16: Uint8Array): Uint8Array {
  const out = new Uint8Array(bf16.length * 2);
  for (let i = 0; i < bf16.length; i += 2) {
    out[2 * i + 2] = bf16[i]!;
    out[2 * i + 3] = bf16[i + 1]!;
  }
  return out;
}

interface CopiedTensor {
  readonly target: GgufTensor;
  readonly source: { readonly file: string; readonly offset: number; readonly length: number };
  /** Bytes that must be converted together. */
  readonly unit: number;
  readonly convert: (bytes: Uint8Array) => Uint8Array;
}

type Config = Readonly<Record<string, unknown>>;

function planTensors(dir: string, checkpoint: Checkpoint, config: Config): CopiedTensor[] {
  const headDim = Number(config.head_dim ?? Number(config.hidden_size) / Number(config.num_attention_heads));
  return [...checkpoint.tensors.values()].map(({ name, dtype, shape, extent }) => {
    if (dtype !== 'BF16' || extent === undefined) throw new Error(`${dir}: tensor ${name} is ${dtype}, expected BF16`);
    const target = { name: ggufName(name), type: shape.length === 1 ? ('F32' as const) : ('BF16' as const), shape };
    const rotated = /\.(q|k)_proj\.weight$/.test(name);
    if (shape.length === 1) return { target, source: extent, unit: 2, convert: widen };
    if (!rotated) return { target, source: extent, unit: 1, convert: (bytes: Uint8Array) => bytes };
    return {
      target,
      source: extent,
      unit: headDim * shape[1]! * 2,
      convert: (bytes: Uint8Array) => interleaveHeads(bytes, headDim, headDim * shape[1]! * 2),
    };
  });
}

function interleaveHeads(bytes: Uint8Array, headDim: number, headBytes: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += headBytes) {
    out.set(interleaveHalves(bytes.subarray(at, at + headBytes), headDim), at);
  }
  return out;
}

type Handle = Awaited<ReturnType<typeof open>>;

async function copyTensor({ source, unit, convert }: CopiedTensor, out: Handle, offset: number): Promise<void> {
  const input = await open(source.file);
  try {
    const piece = Math.max(unit, Math.floor(PIECE_BYTES / unit) * unit);
    const buffer = Buffer.allocUnsafe(Math.min(piece, source.length));
    let to = offset;
    for (let at = 0; at < source.length; at += piece) {
      const wanted = Math.min(piece, source.length - at);
      const { bytesRead } = await input.read(buffer, 0, wanted, source.offset + at);
      if (bytesRead !== wanted) throw new Error(`${source.file}: ended at ${source.offset + at + bytesRead}`);
      const bytes = convert(buffer.subarray(0, wanted));
      await out.write(bytes, 0, bytes.length, to);
      to += bytes.length;
    }
  } finally {
    await input.close();
  }
}

function architecture(config: Config): Record<string, GgufValue> {
  const u32 = (key: string): GgufValue => ({ type: 'u32', value: Number(config[key]) });
  const f32 = (key: string): GgufValue => ({ type: 'f32', value: Number(config[key]) });
  const headDim = Number(config.head_dim ?? Number(config.hidden_size) / Number(config.num_attention_heads));
  return {
    'general.architecture': { type: 'string', value: 'llama' },
    // LLAMA_FTYPE_MOSTLY_BF16
    'general.file_type': { type: 'u32', value: 32 },
    'llama.block_count': u32('num_hidden_layers'),
    'llama.context_length': u32('max_position_embeddings'),
    'llama.embedding_length': u32('hidden_size'),
    'llama.feed_forward_length': u32('intermediate_size'),
    'llama.attention.head_count': u32('num_attention_heads'),
    'llama.attention.head_count_kv': u32('num_key_value_heads'),
    'llama.attention.layer_norm_rms_epsilon': f32('rms_norm_eps'),
    'llama.rope.dimension_count': { type: 'u32', value: headDim },
    'llama.rope.freq_base': f32('rope_theta'),
    'llama.vocab_size': u32('vocab_size'),
  };
}

function tokenizer(words: readonly string[], config: Config): Record<string, GgufValue> {
  return {
    'tokenizer.ggml.model': { type: 'string', value: 'gpt2' },
    'tokenizer.ggml.pre': { type: 'string', value: 'default' },
    'tokenizer.ggml.tokens': { type: 'string[]', value: words },
    // Ids only are ever given, so all are plain tokens.
    'tokenizer.ggml.token_type': { type: 'i32[]', value: words.map(() => 1) },
    // llama.cpp refuses an empty list.
    'tokenizer.ggml.merges': { type: 'string[]', value: ['a b'] },
    'tokenizer.ggml.bos_token_id': { type: 'u32', value: Number(config.bos_token_id ?? 1) },
    'tokenizer.ggml.eos_token_id': { type: 'u32', value: Number(config.eos_token_id ?? 2) },
  };
}

async function vocabulary(dir: string, size: number): Promise<string[]> {
  const { model, added_tokens = [] } = JSON.parse(await readFile(path.join(dir, 'tokenizer.json'), 'utf8'));
  const words: string[] = Array.from({ length: size }, (_, id) => `[${id}]`);
  for (const [word, id] of Object.entries(model.vocab)) if (Number(id) < size) words[Number(id)] = word;
  for (const { id, content } of added_tokens) if (id < size) words[id] = content;
  return words;
}
