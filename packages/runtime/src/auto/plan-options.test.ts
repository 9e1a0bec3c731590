import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { AutoModel } from './auto-model';
import { resolvePlanOptions } from './plan-options';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));

test('following schemas takes memory by the vocabulary, where requests will have some', async () => {
  const model = AutoModel.fromConfig(CONFIG);
  const processBytes = async (structuredOutput: boolean) =>
    (await resolvePlanOptions(fixture, model, { structuredOutput }, 'plain')).processBytes;
  // The process itself may grow or shrink a little meanwhile.
  expect((await processBytes(true)) - (await processBytes(false))).toBeGreaterThan(100e6);
});

const CONFIG = {
  model_type: 'llama',
  vocab_size: 262_144,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  max_position_embeddings: 64,
};
