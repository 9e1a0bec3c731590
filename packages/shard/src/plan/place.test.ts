import { expect, test } from 'vitest';
import { placeTensor } from './place';

test.each([
  ['model.layers.7.self_attn.q_proj.weight', 'layer', 'model.layers', 7, null, 'self_attn.q_proj.weight'],
  ['layers.0.mlp.up_proj.weight', 'layer', 'layers', 0, null, 'mlp.up_proj.weight'],
  ['h.11.attn.c_attn.bias', 'layer', 'h', 11, null, 'attn.c_attn.bias'],
  ['transformer.h.3.ln_1.weight', 'layer', 'transformer.h', 3, null, 'ln_1.weight'],
  ['bert.encoder.layer.2.output.dense.weight', 'layer', 'bert.encoder.layer', 2, null, 'output.dense.weight'],
  [
    'encoder.block.0.layer.1.DenseReluDense.wo.weight',
    'layer',
    'encoder.block',
    0,
    null,
    'layer.1.DenseReluDense.wo.weight',
  ],
  [
    'visual.transformer.resblocks.5.mlp.c_fc.weight',
    'layer',
    'visual.transformer.resblocks',
    5,
    null,
    'mlp.c_fc.weight',
  ],
  ['model.layers.3.mlp.experts.60.down_proj.weight', 'expert', 'model.layers', 3, 60, 'down_proj.weight'],
  ['model.layers.3.block_sparse_moe.experts.0.w1.weight', 'expert', 'model.layers', 3, 0, 'w1.weight'],
  ['model.layers.3.mlp.experts.gate_up_proj', 'layer', 'model.layers', 3, null, 'mlp.experts.gate_up_proj'],
  [
    'model.layers.3.mlp.shared_experts.up_proj.weight',
    'layer',
    'model.layers',
    3,
    null,
    'mlp.shared_experts.up_proj.weight',
  ],
  ['model.embed_tokens.weight', 'embed', null, null, null, 'model.embed_tokens.weight'],
  ['wte.weight', 'embed', null, null, null, 'wte.weight'],
  ['wpe.weight', 'embed', null, null, null, 'wpe.weight'],
  ['embeddings.word_embeddings.weight', 'embed', null, null, null, 'embeddings.word_embeddings.weight'],
  ['model.norm.weight', 'norm', null, null, null, 'model.norm.weight'],
  ['ln_f.bias', 'norm', null, null, null, 'ln_f.bias'],
  ['gpt_neox.final_layer_norm.weight', 'norm', null, null, null, 'gpt_neox.final_layer_norm.weight'],
  ['lm_head.weight', 'head', null, null, null, 'lm_head.weight'],
  ['embed_out.weight', 'head', null, null, null, 'embed_out.weight'],
  ['visual.merger.mlp.0.weight', 'other', null, null, null, 'visual.merger.mlp.0.weight'],
  ['', 'other', null, null, null, ''],
  ['layers.1', 'other', null, null, null, 'layers.1'],
  ['layers.99999999999999999999.x', 'other', null, null, null, 'layers.99999999999999999999.x'],
])('%s', (name, role, stack, layer, expert, rest) => {
  expect(placeTensor(name)).toEqual({ role, stack, layer, expert, rest });
});
