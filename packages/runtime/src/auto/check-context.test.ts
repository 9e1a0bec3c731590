import { OptionError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { AutoModel } from './auto-model';
import { checkContext } from './check-context';

const SIZES = { vocab_size: 64, n_embd: 32, n_layer: 1, n_head: 2, n_positions: 16 };
const LLAMA = {
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 16,
};

test('a context past what a model was made for is told, or refused where positions were learned', () => {
  const warnings: string[] = [];
  const check = (config: Record<string, unknown>, length: number) =>
    checkContext(AutoModel.fromConfig(config), length, (message) => warnings.push(message));
  const [llama, gpt2] = [
    { model_type: 'llama', ...LLAMA },
    { model_type: 'gpt2', ...SIZES },
  ];
  check(llama, 16);
  check(gpt2, 16);
  check({ ...llama, rope_scaling: { rope_type: 'yarn', factor: 4 } }, 64);
  expect(warnings).toEqual([]);
  check(llama, 17);
  expect(warnings).toEqual([expect.stringMatching(/made for 16 positions.*17/)]);
  expect(() => check(gpt2, 17)).toThrow(OptionError);
});
