import { expect, test } from 'vitest';
import { consumptionRank } from './order';

/** Names of one layer as published models have them, in the order their forward passes use them. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  llama: [
    'input_layernorm.weight',
    'self_attn.q_proj.weight',
    'self_attn.k_proj.weight',
    'self_attn.v_proj.weight',
    'self_attn.o_proj.weight',
    'post_attention_layernorm.weight',
    'mlp.gate_proj.weight',
    'mlp.up_proj.weight',
    'mlp.down_proj.weight',
  ],
  gemma3: [
    'input_layernorm.weight',
    'self_attn.q_proj.weight',
    'self_attn.k_proj.weight',
    'self_attn.v_proj.weight',
    'self_attn.q_norm.weight',
    'self_attn.k_norm.weight',
    'self_attn.o_proj.weight',
    'post_attention_layernorm.weight',
    'pre_feedforward_layernorm.weight',
    'mlp.gate_proj.weight',
    'mlp.up_proj.weight',
    'mlp.down_proj.weight',
    'post_feedforward_layernorm.weight',
  ],
  gpt2: [
    'ln_1.weight',
    'attn.c_attn.weight',
    'attn.c_proj.weight',
    'ln_2.weight',
    'mlp.c_fc.weight',
    'mlp.c_proj.weight',
  ],
  deepseek: [
    'input_layernorm.weight',
    'self_attn.q_a_proj.weight',
    'self_attn.q_a_layernorm.weight',
    'self_attn.q_b_proj.weight',
    'self_attn.kv_a_proj_with_mqa.weight',
    'self_attn.kv_a_layernorm.weight',
    'self_attn.kv_b_proj.weight',
    'self_attn.o_proj.weight',
    'post_attention_layernorm.weight',
    'mlp.gate.weight',
    'mlp.shared_experts.gate_proj.weight',
    'mlp.shared_experts.up_proj.weight',
    'mlp.shared_experts.down_proj.weight',
  ],
  gpt_oss: [
    'input_layernorm.weight',
    'self_attn.q_proj.weight',
    'self_attn.k_proj.weight',
    'self_attn.v_proj.weight',
    'self_attn.sinks',
    'self_attn.o_proj.weight',
    'post_attention_layernorm.weight',
    'mlp.router.weight',
    'mlp.experts.gate_up_proj',
    'mlp.experts.down_proj',
  ],
};

test.each(Object.entries(LAYERS))('%s: alphabetical names come into forward order', (_, forward) => {
  const sorted = [...forward].sort().sort((a, b) => consumptionRank(a) - consumptionRank(b));
  expect(sorted).toEqual(forward);
});

test('unknown names come last and are equal to each other', () => {
  expect(consumptionRank('zzz')).toBe(consumptionRank('aaa.weight'));
  expect(consumptionRank('zzz')).toBeGreaterThan(consumptionRank('mlp.down_proj.weight'));
});
