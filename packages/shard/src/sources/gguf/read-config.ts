import { basename, dirname } from 'node:path';
import { UnsupportedCheckpointError } from '@airllm/loader';
import { ARCHITECTURE_NAMES } from './architectures';
import type { GgufMetadata } from './metadata';
import type { Gguf } from './open-gguf';
import { ropeScaling } from './rope-scaling';

// Keys: ggml's docs/gguf.md and llama.cpp's llama-arch.cpp; what they mean where they are absent: llama-model.cpp.

export type Config = Record<string, unknown>;

/** The deepest published models have under 200. */
const MAX_LAYERS = 4096;

/**
 * The `config.json` that transformers would have for the model. Throws `FormatError` naming the key, and
 * `UnsupportedCheckpointError` for an architecture that is not known here.
 */
export async function readGgufConfig(gguf: Gguf): Promise<Config> {
  const { metadata } = gguf;
  const architecture = metadata.requiredString('general.architecture');
  const read = Object.hasOwn(READERS, architecture) ? READERS[architecture] : undefined;
  if (read === undefined || !Object.hasOwn(ARCHITECTURE_NAMES, architecture)) {
    const supported = Object.keys(READERS).join(', ');
    const reason = `${basename(metadata.file)} holds a model of the architecture "${architecture}"; supported are ${supported}`;
    throw new UnsupportedCheckpointError({ dir: dirname(metadata.file), found: [basename(metadata.file)], reason });
  }
  const config = await read(new ArchitectureKeys(gguf, architecture));
  return { ...config, ...specialIds(metadata) };
}

/** The keys `<architecture>.…` of a model, and what can be told from its tensors. */
class ArchitectureKeys {
  readonly gguf: Gguf;
  readonly metadata: GgufMetadata;
  readonly #prefix: string;

  constructor(gguf: Gguf, architecture: string) {
    this.gguf = gguf;
    this.metadata = gguf.metadata;
    this.#prefix = `${architecture}.`;
  }

  key(name: string): string {
    return this.#prefix + name;
  }

  int(name: string, min = 1): number | undefined {
    return this.metadata.int(this.key(name), min);
  }

  number(name: string): number | undefined {
    return this.metadata.number(this.key(name));
  }

  required(name: string): number {
    return this.metadata.requiredInt(this.key(name));
  }

  /** A whole number that may stand there once per layer. */
  async uniform(name: string): Promise<number> {
    return (await this.metadata.uniformInt(this.key(name))) ?? this.metadata.fail(this.key(name), 'is missing');
  }

  /** Rows of the embedding: `vocab_size` is absent in many files. */
  get vocabSize(): number {
    const embedding = this.gguf.tensors.get('token_embd.weight');
    return embedding?.shape[0] ?? this.required('vocab_size');
  }

  get layers(): number {
    const layers = this.required('block_count');
    if (layers > MAX_LAYERS) this.metadata.fail(this.key('block_count'), `is ${layers}, beyond all models`);
    return layers;
  }

  get tied(): boolean {
    return !this.gguf.tensors.has('output.weight');
  }

  get hasBias(): boolean {
    return this.gguf.tensors.has('blk.0.attn_q.bias');
  }
}

type Reader = (keys: ArchitectureKeys) => Promise<Config>;

const READERS: Readonly<Record<string, Reader>> = {
  gemma3: async (keys) => {
    const { headDim, ...config } = await decoder(keys);
    // llama.cpp does not store the scale either: of the published sizes only 27B, with 62 layers, has another one.
    const queryScale = config.num_hidden_layers === 62 ? config.hidden_size / config.num_attention_heads : headDim;
    return {
      ...config,
      model_type: 'gemma3_text',
      hidden_activation: 'gelu_pytorch_tanh',
      hidden_act: 'gelu_pytorch_tanh',
      rope_local_base_freq: keys.number('rope.freq_base_swa') ?? 10_000,
      sliding_window: keys.int('attention.sliding_window', 0) ?? 1024,
      sliding_window_pattern: (await keys.metadata.uniformInt(keys.key('attention.sliding_window_pattern'))) ?? 6,
      query_pre_attn_scalar: queryScale,
      final_logit_softcapping: keys.number('final_logit_softcapping') ?? null,
    };
  },

  gpt2: async (keys) => ({
    model_type: 'gpt2',
    vocab_size: keys.vocabSize,
    n_embd: keys.required('embedding_length'),
    n_layer: keys.layers,
    n_head: await keys.uniform('attention.head_count'),
    n_inner: await keys.uniform('feed_forward_length'),
    n_positions: keys.required('context_length'),
    layer_norm_epsilon: keys.number('attention.layer_norm_epsilon') ?? 1e-5,
    activation_function: 'gelu_new',
    tie_word_embeddings: keys.tied,
    // transformers' own files store [in, out]; GGUF has turned them round.
    conv1d_layout: 'out,in',
  }),

  'gpt-oss': async (keys) => {
    const { headDim: _, ...config } = await decoder(keys);
    return {
      ...config,
      model_type: 'gpt_oss',
      intermediate_size: keys.int('expert_feed_forward_length') ?? config.intermediate_size,
      num_local_experts: keys.required('expert_count'),
      num_experts_per_tok: keys.required('expert_used_count'),
      sliding_window: keys.int('attention.sliding_window', 0) ?? 128,
      layer_types: Array.from({ length: config.num_hidden_layers }, (_, i) =>
        i % 2 === 0 ? 'sliding_attention' : 'full_attention',
      ),
      attention_bias: keys.hasBias,
    };
  },

  llama: async (keys) => {
    const { headDim: _, ...config } = await decoder(keys);
    const experts = keys.int('expert_count', 0) ?? 0;
    if (experts > 0) {
      return {
        ...config,
        model_type: 'mixtral',
        num_local_experts: experts,
        num_experts_per_tok: keys.required('expert_used_count'),
        sliding_window: null,
      };
    }
    // Mistral is stored under llama's name, which in transformers has no window.
    const window = keys.int('attention.sliding_window', 0) ?? 0;
    if (window > 0) return { ...config, model_type: 'mistral', sliding_window: window };
    return { ...config, model_type: 'llama', attention_bias: keys.hasBias };
  },

  phi3: async (keys) => {
    const { headDim: _, ...config } = await decoder(keys, { partial: true });
    const window = keys.int('attention.sliding_window', 0) ?? 0;
    return { ...config, model_type: 'phi3', sliding_window: window > 0 ? window : null };
  },

  qwen2: async (keys) => {
    const { headDim: _, ...config } = await decoder(keys);
    return { ...config, model_type: 'qwen2', use_sliding_window: false };
  },

  qwen3: async (keys) => {
    const { headDim: _, ...config } = await decoder(keys);
    return { ...config, model_type: 'qwen3', use_sliding_window: false, attention_bias: keys.hasBias };
  },

  qwen3moe: async (keys) => {
    const { headDim: _, ...config } = await decoder(keys);
    return {
      ...config,
      model_type: 'qwen3_moe',
      use_sliding_window: false,
      attention_bias: keys.hasBias,
      num_experts: keys.required('expert_count'),
      num_experts_per_tok: keys.required('expert_used_count'),
      moe_intermediate_size: keys.required('expert_feed_forward_length'),
      decoder_sparse_step: 1,
      mlp_only_layers: [],
      norm_topk_prob: true,
    };
  },
};

/** What decoders have in common. */
async function decoder(keys: ArchitectureKeys, options: { partial?: boolean } = {}) {
  const hiddenSize = keys.required('embedding_length');
  const heads = await keys.uniform('attention.head_count');
  const kvHeads = (await keys.metadata.uniformInt(keys.key('attention.head_count_kv'))) ?? heads;
  const headDim = keys.int('attention.key_length') ?? Math.floor(hiddenSize / heads);
  const values = keys.int('attention.value_length');
  if (values !== undefined && values !== headDim) {
    keys.metadata.fail(keys.key('attention.value_length'), `is ${values}, but keys have ${headDim}: not supported`);
  }
  const rotated = keys.int('rope.dimension_count') ?? headDim;
  const partial = rotated / headDim;
  if (partial !== 1 && !options.partial) {
    keys.metadata.fail(keys.key('rope.dimension_count'), `is ${rotated}, but heads have ${headDim}: not supported`);
  }
  const maxPositions = keys.required('context_length');
  const theta = keys.number('rope.freq_base') ?? 10_000;
  const scaling = await ropeScaling(keys, { theta, rotated, maxPositions });
  return {
    headDim,
    vocab_size: keys.vocabSize,
    hidden_size: hiddenSize,
    intermediate_size: await keys.uniform('feed_forward_length'),
    num_hidden_layers: keys.layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    // Phi3Config has no such key.
    ...(options.partial ? { partial_rotary_factor: partial } : { head_dim: headDim }),
    hidden_act: 'silu',
    max_position_embeddings: maxPositions,
    rms_norm_eps: keys.number('attention.layer_norm_rms_epsilon') ?? 1e-6,
    rope_theta: theta,
    ...scaling,
    tie_word_embeddings: keys.tied,
  };
}

/** Ids of special tokens; texts end at any of several. */
function specialIds(metadata: GgufMetadata): Config {
  const id = (name: string) => metadata.int(`tokenizer.ggml.${name}_token_id`, 0);
  const [bos, pad] = [id('bos'), id('padding')];
  const ends = [...new Set([id('eos'), id('eot'), id('eom')].filter((end) => end !== undefined))];
  return {
    ...(bos === undefined ? {} : { bos_token_id: bos }),
    ...(pad === undefined ? {} : { pad_token_id: pad }),
    ...(ends.length === 0 ? {} : { eos_token_id: ends.length === 1 ? ends[0] : ends }),
  };
}
