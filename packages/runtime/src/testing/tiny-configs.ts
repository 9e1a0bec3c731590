import fc from 'fast-check';

/** Small configs of model types that differ in what a plan sees: windows, fused and transposed weights, experts, ties. */
export const tinyConfig: fc.Arbitrary<Record<string, unknown>> = fc
  .record({
    model_type: fc.constantFrom('llama', 'mistral', 'qwen3', 'gemma3_text', 'phi3', 'gpt2', 'mixtral'),
    heads: fc.integer({ min: 1, max: 6 }),
    kvShare: fc.integer({ min: 1, max: 3 }),
    headDim: fc.integer({ min: 1, max: 20 }).map((half) => 2 * half),
    intermediate: fc.integer({ min: 1, max: 300 }),
    layers: fc.integer({ min: 1, max: 5 }),
    vocab: fc.integer({ min: 1, max: 2000 }),
    tied: fc.boolean(),
    bias: fc.boolean(),
    window: fc.option(fc.integer({ min: 1, max: 300 })),
    experts: fc.integer({ min: 1, max: 6 }),
  })
  .map((c) => {
    const heads = c.heads * c.kvShare;
    const hidden = heads * c.headDim;
    return c.model_type === 'gpt2'
      ? {
          model_type: 'gpt2',
          n_embd: hidden,
          n_head: heads,
          n_layer: c.layers,
          n_inner: c.intermediate,
          vocab_size: c.vocab,
        }
      : {
          model_type: c.model_type,
          hidden_size: hidden,
          num_attention_heads: heads,
          num_key_value_heads: c.heads,
          head_dim: c.headDim,
          intermediate_size: c.intermediate,
          num_hidden_layers: c.layers,
          vocab_size: c.vocab,
          tie_word_embeddings: c.tied,
          attention_bias: c.bias,
          mlp_bias: c.bias,
          sliding_window: c.window,
          num_local_experts: c.experts,
          num_experts_per_tok: Math.min(2, c.experts),
          max_position_embeddings: 4096,
        };
  });
