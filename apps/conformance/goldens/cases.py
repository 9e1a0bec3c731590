"""The fixtures: one entry per folder under ../fixtures.

config     arguments of the transformers config class (`base` in COMMON is added)
prompt     tokens in the prompt; generate: greedy tokens after it
storage    dtype of the stored weights (computation is float32 on the stored values)
shard_kb   shard size, for a checkpoint of several files with an index
legacy     write config.json with the keys of transformers 4 (rope_theta, rope_scaling, torch_dtype), as most published
           checkpoints have it
fused      stored as transformers 5 has it in memory, the experts of a layer in one tensor
as_published  as the openai-community/gpt2 repositories are: names without "transformer.", causal masks among the tensors
blind_to   {what: config overrides}: readings of the config that must give visibly other logits; a fixture that a wrong
           implementation would pass is refused
cached     'differs': generation with the KV cache must differ from a forward over the whole sequence (dynamic RoPE:
           cached keys keep the rotation they were stored with); 'same' otherwise
"""

COMMON = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)

LONG_ROPE = dict(
    rope_type="longrope",
    rope_theta=10000.0,
    partial_rotary_factor=0.75,
    short_factor=[1.0, 1.05, 1.3],
    long_factor=[1.5, 2.75, 4.5],
)
PHI3 = dict(hidden_size=40, num_attention_heads=5, num_key_value_heads=1, intermediate_size=72, num_hidden_layers=2,
            vocab_size=301, max_position_embeddings=96, original_max_position_embeddings=24, rope_parameters=LONG_ROPE)
DYNAMIC = dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=4, intermediate_size=72, num_hidden_layers=2,
               vocab_size=301, max_position_embeddings=24, attention_bias=True, mlp_bias=True,
               rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0))
YARN = dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, intermediate_size=72, num_hidden_layers=2,
            vocab_size=301, max_position_embeddings=96,
            rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=24))
NO_SCALING = dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0))

CASES = {
    "llama": dict(
        type="llama", prompt=20, generate=24,
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=12, intermediate_size=72,
                    num_hidden_layers=3, vocab_size=301, max_position_embeddings=256, rms_norm_eps=1e-5,
                    rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                         high_freq_factor=4.0, original_max_position_embeddings=32)),
        blind_to={"no rope scaling": dict(rope_parameters=dict(rope_type="default", rope_theta=500000.0))},
    ),
    "llama-dynamic-crossing": dict(
        type="llama", prompt=16, generate=24, config=DYNAMIC, cached="differs",
        blind_to={"no rope scaling": NO_SCALING},
    ),
    "llama-dynamic-long": dict(
        type="llama", prompt=40, generate=12, config=DYNAMIC, cached="differs", legacy=True, storage="bfloat16",
        blind_to={"no rope scaling": NO_SCALING},
    ),
    # 600 keys: attention is computed in partials of 512 keys; one key-value head for all queries.
    "llama-600-tokens": dict(
        type="llama", prompt=600, generate=24,
        config=dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=1, head_dim=8, intermediate_size=40,
                    num_hidden_layers=2, vocab_size=67, max_position_embeddings=1024, tie_word_embeddings=True,
                    rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    ),
    "llama-linear-sharded-bf16": dict(
        type="llama", prompt=20, generate=16, storage="bfloat16", shard_kb=30, legacy=True,
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, intermediate_size=72,
                    num_hidden_layers=3, vocab_size=301, max_position_embeddings=128,
                    rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.5)),
        blind_to={"no rope scaling": NO_SCALING},
    ),
    "mistral-f16": dict(
        type="mistral", prompt=30, generate=16, storage="float16",
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=18, intermediate_size=72,
                    num_hidden_layers=3, vocab_size=301, max_position_embeddings=128, sliding_window=7,
                    rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
        blind_to={"no window": dict(sliding_window=None), "a window of one more": dict(sliding_window=8)},
    ),
    "ministral": dict(
        type="ministral", prompt=30, generate=16, storage="bfloat16",
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=1, head_dim=14, intermediate_size=72,
                    num_hidden_layers=3, vocab_size=301, max_position_embeddings=128, sliding_window=7,
                    layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                    rope_parameters=dict(rope_type="default", rope_theta=100000.0)),
        blind_to={"all layers sliding": dict(layer_types=["sliding_attention"] * 3),
                  "all layers full": dict(layer_types=["full_attention"] * 3)},
    ),
    "qwen2-yarn-crossing": dict(
        type="qwen2", prompt=16, generate=24, config=dict(YARN, tie_word_embeddings=True),
        blind_to={"no rope scaling": NO_SCALING},
    ),
    "qwen2-yarn-long": dict(
        type="qwen2", prompt=48, generate=12, legacy=True, storage="float16",
        config=dict(YARN, use_sliding_window=True, sliding_window=9, max_window_layers=1),
        blind_to={"no rope scaling": NO_SCALING, "no window": dict(use_sliding_window=False, layer_types=None)},
    ),
    "qwen3": dict(
        type="qwen3", prompt=20, generate=16,
        config=dict(hidden_size=40, num_attention_heads=3, num_key_value_heads=1, head_dim=22, intermediate_size=72,
                    num_hidden_layers=2, vocab_size=301, max_position_embeddings=128, tie_word_embeddings=True,
                    rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
    ),
    "gemma3_text": dict(
        type="gemma3_text", prompt=24, generate=16, legacy=True, storage="bfloat16",
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=1, head_dim=12, intermediate_size=72,
                    num_hidden_layers=8, vocab_size=301, max_position_embeddings=256, sliding_window=5,
                    query_pre_attn_scalar=20,
                    rope_parameters=dict(
                        full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                        sliding_attention=dict(rope_type="default", rope_theta=10000.0))),
        blind_to={
            "one rope for all layers": dict(rope_parameters=dict(
                full_attention=dict(rope_type="default", rope_theta=10000.0),
                sliding_attention=dict(rope_type="default", rope_theta=10000.0))),
            "scaled by head_dim": dict(query_pre_attn_scalar=12),
            "a window of one more": dict(sliding_window=6),
        },
    ),
    "phi3-longrope-crossing": dict(
        type="phi3", prompt=16, generate=24, config=PHI3,
        blind_to={"no rope scaling": dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                                               partial_rotary_factor=0.75))},
    ),
    "phi3-longrope-long": dict(
        type="phi3", prompt=40, generate=12, legacy=True, storage="bfloat16", config=dict(PHI3, sliding_window=15),
        blind_to={"no window": dict(sliding_window=None),
                  "short factors": dict(original_max_position_embeddings=80)},
    ),
    "gpt2": dict(
        type="gpt2", prompt=20, generate=16, as_published=True,
        config=dict(n_embd=40, n_head=5, n_layer=2, n_positions=48, vocab_size=211),
    ),
    "mixtral": dict(
        type="mixtral", prompt=20, generate=16, storage="bfloat16",
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=14, intermediate_size=48,
                    num_hidden_layers=2, vocab_size=301, num_local_experts=5, num_experts_per_tok=2,
                    max_position_embeddings=128, sliding_window=11,
                    rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
        blind_to={"one expert": dict(num_experts_per_tok=1), "no window": dict(sliding_window=None)},
    ),
    "qwen3_moe-fused": dict(
        type="qwen3_moe", prompt=20, generate=16, storage="bfloat16", fused=True,
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=14, intermediate_size=56,
                    moe_intermediate_size=24, num_hidden_layers=5, vocab_size=301, num_experts=5, num_experts_per_tok=2,
                    norm_topk_prob=True, decoder_sparse_step=2, mlp_only_layers=[3], max_position_embeddings=128,
                    rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
        blind_to={"one expert": dict(num_experts_per_tok=1), "scores as they are": dict(norm_topk_prob=False)},
    ),
    "gpt_oss": dict(
        type="gpt_oss", prompt=24, generate=10, storage="bfloat16", legacy=True,
        config=dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=14, intermediate_size=28,
                    num_hidden_layers=3, vocab_size=301, num_local_experts=5, num_experts_per_tok=2, sliding_window=6,
                    max_position_embeddings=128, swiglu_limit=1.0,
                    rope_parameters=dict(rope_type="yarn", rope_theta=150000.0, factor=4.0, beta_fast=8.0, beta_slow=1.0,
                                         truncate=False, original_max_position_embeddings=64)),
        blind_to={
            "one expert": dict(num_experts_per_tok=1),
            "all layers full": dict(layer_types=["full_attention"] * 3),
            "windows the other way round": dict(layer_types=["full_attention", "sliding_attention", "full_attention"]),
            "another limit": dict(swiglu_limit=7.0),
            "truncated yarn": dict(rope_parameters=dict(
                rope_type="yarn", rope_theta=150000.0, factor=4.0, beta_fast=8.0, beta_slow=1.0, truncate=True,
                original_max_position_embeddings=64)),
        },
    ),
}
