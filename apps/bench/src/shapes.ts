import { readFile } from 'node:fs/promises';
import { OptionError } from '@airllm/loader';

/** The numbers that make a Llama of a size; everything else of its config.json is the same for all. */
interface Shape {
  readonly layers: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly vocabulary: number;
}

const SHAPES: Readonly<Record<string, Shape>> = {
  tiny: { layers: 4, hidden: 64, intermediate: 176, heads: 4, keyValueHeads: 2, vocabulary: 1000 },
  'llama-1b': { layers: 22, hidden: 2048, intermediate: 5632, heads: 32, keyValueHeads: 4, vocabulary: 32_000 },
  'llama-8b': { layers: 32, hidden: 4096, intermediate: 14_336, heads: 32, keyValueHeads: 8, vocabulary: 32_000 },
  'llama-70b': { layers: 80, hidden: 8192, intermediate: 28_672, heads: 64, keyValueHeads: 8, vocabulary: 32_000 },
  'llama-405b': { layers: 126, hidden: 16_384, intermediate: 53_248, heads: 128, keyValueHeads: 8, vocabulary: 32_000 },
};

/** Names that `--shape` takes. */
export const SHAPE_NAMES: readonly string[] = Object.keys(SHAPES);

/** config.json of a named shape. Throws `OptionError` for an unknown name. */
export function shapeConfig(name: string): Record<string, unknown> {
  const shape = SHAPES[name];
  if (shape === undefined) throw new OptionError({ option: '--shape', expected: SHAPE_NAMES.join(', '), found: name });
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.keyValueHeads,
    head_dim: shape.hidden / shape.heads,
    vocab_size: shape.vocabulary,
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 500_000,
    max_position_embeddings: 8192,
    tie_word_embeddings: false,
    attention_bias: false,
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

/** config.json of what `--config` or `--shape` names; undefined where neither is given. Throws `OptionError`. */
export async function madeUpConfig(values: {
  readonly config: string | undefined;
  readonly shape: string | undefined;
}): Promise<Record<string, unknown> | undefined> {
  if (values.config !== undefined) return JSON.parse(await readFile(values.config, 'utf8'));
  return values.shape === undefined ? undefined : shapeConfig(values.shape);
}
