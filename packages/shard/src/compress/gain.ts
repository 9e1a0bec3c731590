import { MetaTensor } from '@airllm/loader';
import { placeTensor } from '../plan/place';
import type { ModelSource } from '../sources/source';

export interface Gain {
  readonly tensor: MetaTensor;
  /** What the model adds to the stored weight before it multiplies. */
  readonly plus: number;
}

const TAKES_ATTENTION_NORM =
  /(?:^|\.)(?:self_attn|attn|attention)\.(?:q_proj|k_proj|v_proj|qkv_proj|c_attn|q_a_proj|kv_a_proj_with_mqa)\.weight$/;
const TAKES_MLP_NORM = /(?:^|\.)(?:gate_proj|up_proj|gate_up_proj|w1|w3|c_fc|fc1)\.weight$/;
/** Norms that are stored as their distance from 1. */
const PLUS_ONE = /^(?:gemma|qwen3_next|qwen3_5)/;

/**
 * The norm whose output a matrix takes, where names tell: its squared gains say how large the squared inputs of the
 * columns are, as far as that is known without data, and so how much an error in a column matters.
 */
export function gainOf(name: string, { tensors, config }: Pick<ModelSource, 'tensors' | 'config'>): Gain | undefined {
  const columns = tensors.get(name)!.shape[1];
  for (const norm of normsOf(name, (each) => tensors.has(each))) {
    const tensor = tensors.get(norm);
    const fits = MetaTensor.isInstance(tensor) && tensor.shape.length === 1 && tensor.shape[0] === columns;
    if (fits && /^(?:F32|F16|BF16)$/.test(tensor.dtype)) {
      return { tensor, plus: PLUS_ONE.test(String(config?.model_type)) ? 1 : 0 };
    }
  }
  return undefined;
}

/** Candidates, the likeliest first. */
function normsOf(name: string, has: (name: string) => boolean): string[] {
  const { role, stack, layer, rest } = placeTensor(name);
  if (role === 'head') return ['model.norm.weight', 'norm.weight', 'model.language_model.norm.weight'];
  const at = `${stack}.${layer}`;
  if (TAKES_ATTENTION_NORM.test(rest)) return [`${at}.input_layernorm.weight`, `${at}.ln_1.weight`];
  if (!TAKES_MLP_NORM.test(rest)) return [];
  const before = `${at}.pre_feedforward_layernorm.weight`;
  if (has(before)) return [before];
  // OLMo 2 has a norm of this name behind attention and none before it.
  const isBefore = has(`${at}.input_layernorm.weight`) && !has(`${at}.post_feedforward_layernorm.weight`);
  return isBefore ? [`${at}.post_attention_layernorm.weight`] : [`${at}.ln_2.weight`];
}
