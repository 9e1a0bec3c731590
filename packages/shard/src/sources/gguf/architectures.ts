/** What becomes of the rows of a matrix on its way to transformers' layout. */
export type RowOrder =
  /** ggml's llama rotates neighbours (2i, 2i + 1), transformers rotates halves (i, i + d/2): heads are un-permuted. */
  'query-heads' | 'key-heads';

/** How tensors of an architecture are called in GGUF and in transformers. */
export interface ArchitectureNames {
  /** Outside of layers, by the whole name without `.weight` or `.bias`. */
  readonly outer: Readonly<Record<string, string>>;
  /** In layers: what stands behind `blk.N.`, to what stands behind `layer(N)`. */
  readonly inner: Readonly<Record<string, string>>;
  /** Keys whose name in transformers ends there, without `.weight`. */
  readonly bare?: readonly string[];
  /** Prefix of layer N. */
  readonly layer: (index: number) => string;
  /** Stacked experts: what stands behind `blk.N.`, to the name of one expert's matrix. */
  readonly experts?: Readonly<Record<string, (expert: number) => string>>;
  /** Two stacks whose matrices become one per expert, with the rows of the one even and of the other odd. */
  readonly interleaved?: { readonly even: string; readonly odd: string; readonly name: (expert: number) => string };
  readonly rows?: Readonly<Record<string, RowOrder>>;
  /** Norm weights are stored as 1 + w (Gemma). */
  readonly normsPlusOne?: true;
}

const decoder: ArchitectureNames = {
  outer: { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' },
  layer: (index) => `model.layers.${index}.`,
  inner: {
    attn_norm: 'input_layernorm',
    attn_q: 'self_attn.q_proj',
    attn_k: 'self_attn.k_proj',
    attn_v: 'self_attn.v_proj',
    attn_output: 'self_attn.o_proj',
    ffn_norm: 'post_attention_layernorm',
    ffn_gate: 'mlp.gate_proj',
    ffn_up: 'mlp.up_proj',
    ffn_down: 'mlp.down_proj',
  },
};

const headNorms = { attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' };

const llama: ArchitectureNames = { ...decoder, rows: { attn_q: 'query-heads', attn_k: 'key-heads' } };

/** Mixtral is stored under llama's name. Files of 2023 have one tensor per expert, later ones stack them. */
export const mixtral: ArchitectureNames = {
  ...llama,
  inner: { ...decoder.inner, ffn_gate_inp: 'block_sparse_moe.gate' },
  experts: {
    ffn_gate: (expert) => `block_sparse_moe.experts.${expert}.w1`,
    ffn_up: (expert) => `block_sparse_moe.experts.${expert}.w3`,
    ffn_down: (expert) => `block_sparse_moe.experts.${expert}.w2`,
  },
};

const qwen3: ArchitectureNames = { ...decoder, inner: { ...decoder.inner, ...headNorms } };

const qwen3moe: ArchitectureNames = {
  ...qwen3,
  inner: { ...qwen3.inner, ffn_gate_inp: 'mlp.gate' },
  experts: {
    ffn_gate: (expert) => `mlp.experts.${expert}.gate_proj`,
    ffn_up: (expert) => `mlp.experts.${expert}.up_proj`,
    ffn_down: (expert) => `mlp.experts.${expert}.down_proj`,
  },
};

const gptOss: ArchitectureNames = {
  ...decoder,
  inner: {
    ...decoder.inner,
    attn_sinks: 'self_attn.sinks',
    post_attention_norm: 'post_attention_layernorm',
    ffn_gate_inp: 'mlp.router',
  },
  bare: ['attn_sinks'],
  experts: { ffn_down: (expert) => `mlp.experts.${expert}.down_proj` },
  interleaved: { even: 'ffn_gate', odd: 'ffn_up', name: (expert) => `mlp.experts.${expert}.gate_up_proj` },
};

const gemma3: ArchitectureNames = {
  ...qwen3,
  inner: {
    ...qwen3.inner,
    post_attention_norm: 'post_attention_layernorm',
    ffn_norm: 'pre_feedforward_layernorm',
    post_ffw_norm: 'post_feedforward_layernorm',
  },
  normsPlusOne: true,
};

const phi3: ArchitectureNames = {
  ...decoder,
  inner: { ...decoder.inner, attn_qkv: 'self_attn.qkv_proj', ffn_up: 'mlp.gate_up_proj' },
};

const gpt2: ArchitectureNames = {
  outer: {
    token_embd: 'transformer.wte',
    position_embd: 'transformer.wpe',
    output_norm: 'transformer.ln_f',
    output: 'lm_head',
  },
  layer: (index) => `transformer.h.${index}.`,
  inner: {
    attn_norm: 'ln_1',
    attn_qkv: 'attn.c_attn',
    attn_output: 'attn.c_proj',
    ffn_norm: 'ln_2',
    ffn_up: 'mlp.c_fc',
    ffn_down: 'mlp.c_proj',
  },
};

/** By `general.architecture`. */
export const ARCHITECTURE_NAMES: Readonly<Record<string, ArchitectureNames>> = {
  gemma3,
  gpt2,
  'gpt-oss': gptOss,
  llama,
  phi3,
  qwen2: decoder,
  qwen3,
  qwen3moe,
};
