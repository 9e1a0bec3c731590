/** A weight of the model, under the name transformers' Llama gives it. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A llama2.c model as a Hugging Face checkpoint would hold it. */
export interface ConvertedModel {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: readonly NamedTensor[];
}

const HEADER_WORDS = 7;

/**
 * Reads llama2.c's first checkpoint format (its export.py, version 0): seven int32, then float32 weights, all layers of
 * a kind together. Throws where the file is not of the size its header implies.
 */
export function convertCheckpoint(bytes: Uint8Array): ConvertedModel {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = Array.from({ length: HEADER_WORDS }, (_, i) => view.getInt32(4 * i, true));
  const [dim, hidden, layers, heads, kvHeads, vocab, positions] = header as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const headDim = dim / heads;
  const read = weightReader(bytes, 4 * HEADER_WORDS);
  const take = (count: number, ...shape: number[]) =>
    Array.from({ length: count }, () => ({ shape, data: read(shape.reduce((a, b) => a * b, 1)) }));

  const [embedding] = take(1, vocab, dim);
  const inputNorm = take(layers, dim);
  const q = take(layers, dim, dim).map(({ shape, data }) => ({ shape, data: pairHalves(data, heads, dim) }));
  const k = take(layers, kvHeads * headDim, dim).map(({ shape, data }) => ({
    shape,
    data: pairHalves(data, kvHeads, dim),
  }));
  const v = take(layers, kvHeads * headDim, dim);
  const o = take(layers, dim, dim);
  const postNorm = take(layers, dim);
  const gate = take(layers, hidden, dim);
  const down = take(layers, dim, hidden);
  const up = take(layers, hidden, dim);
  const [finalNorm] = take(1, dim);
  read.end(positions * headDim);

  const kinds = {
    'input_layernorm.weight': inputNorm,
    'self_attn.q_proj.weight': q,
    'self_attn.k_proj.weight': k,
    'self_attn.v_proj.weight': v,
    'self_attn.o_proj.weight': o,
    'post_attention_layernorm.weight': postNorm,
    'mlp.gate_proj.weight': gate,
    'mlp.up_proj.weight': up,
    'mlp.down_proj.weight': down,
  };
  const layered = Array.from({ length: layers }, (_, i) =>
    Object.entries(kinds).map(([name, weights]) => ({ name: `model.layers.${i}.${name}`, ...weights[i]! })),
  );
  return {
    config: config({ dim, hidden, layers, heads, kvHeads, vocab, positions }),
    tensors: [
      { name: 'model.embed_tokens.weight', ...embedding! },
      ...layered.flat(),
      { name: 'model.norm.weight', ...finalNorm! },
    ],
  };
}

function config(c: {
  dim: number;
  hidden: number;
  layers: number;
  heads: number;
  kvHeads: number;
  vocab: number;
  positions: number;
}) {
  if (c.vocab < 0) throw new Error('an output matrix of its own (negative vocabulary size) is not expected here');
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: c.dim,
    intermediate_size: c.hidden,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    num_key_value_heads: c.kvHeads,
    vocab_size: c.vocab,
    max_position_embeddings: c.positions,
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    bos_token_id: 1,
    eos_token_id: 2,
    dtype: 'float32',
  };
}

interface WeightReader {
  (elements: number): Float32Array;
  /** Checks that only the rotary tables are left: cos and sin, `elements` floats in all. */
  end(elements: number): void;
}

function weightReader(bytes: Uint8Array, start: number): WeightReader {
  let at = start;
  const read = (elements: number) => {
    if (at + 4 * elements > bytes.byteLength) throw new Error(`the model ends at byte ${bytes.byteLength}`);
    // A copy: the source may start at any byte.
    const data = new Float32Array(elements);
    new Uint8Array(data.buffer).set(bytes.subarray(at, at + 4 * elements));
    at += 4 * elements;
    return data;
  };
  return Object.assign(read, {
    end(elements: number) {
      const left = bytes.byteLength - at;
      if (left !== 4 * elements) throw new Error(`expected ${4 * elements} bytes of rotary tables, found ${left}`);
    },
  });
}

/** Rows of each head from llama2.c's neighbouring pairs (2i, 2i + 1) to the halves (i, i + headDim / 2) of transformers. */
function pairHalves(data: Float32Array, heads: number, width: number): Float32Array {
  const headDim = data.length / width / heads;
  const result = new Float32Array(data.length);
  for (let head = 0; head < heads; head++) {
    for (let row = 0; row < headDim; row++) {
      const from = head * headDim + row;
      const to = head * headDim + (row % 2) * (headDim / 2) + Math.floor(row / 2);
      result.set(data.subarray(from * width, (from + 1) * width), to * width);
    }
  }
  return result;
}
