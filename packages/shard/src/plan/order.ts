/**
 * The order in which a layer's tensors are consumed, from the names that published models use. First match wins, so
 * the narrow patterns come before the wide ones. A rank is a place in a transformer layer:
 * norm · attention · norm · router · shared experts · feed-forward · norm.
 */
const RANKS: readonly (readonly [rank: number, name: RegExp])[] = [
  [50, /(?:^|\.)(?:post_(?:feedforward|mlp|ff\w*)_layernorm|ffn_post_norm|ffn_norm2)\b/],
  [21, /(?:^|\.)(?:pre_feedforward_layernorm)\b/],
  [20, /(?:^|\.)(?:post_attention_layernorm|post_attention_norm|ln_2|ffn_norm|norm_?2|ln2)\b/],
  [0, /(?:^|\.)(?:input_layernorm|ln_1|attn_norm|attention_norm|pre_attention_layernorm|operator_norm|norm_?1|ln1)\b/],
  // attention
  [8, /(?:^|\.)(?:c_attn|qkv|qkv_proj|query_key_value|Wqkv|in_proj\w*)\b/],
  [9, /(?:^|\.)(?:q_a_proj)\b/],
  [10, /(?:^|\.)(?:q_a_layernorm)\b/],
  [11, /(?:^|\.)(?:q_b_proj|q_proj|wq|query)\b/],
  [12, /(?:^|\.)(?:kv_a_proj\w*)\b/],
  [13, /(?:^|\.)(?:kv_a_layernorm)\b/],
  [14, /(?:^|\.)(?:kv_b_proj|k_proj|wk|key)\b/],
  [15, /(?:^|\.)(?:v_proj|wv|value)\b/],
  [16, /(?:^|\.)(?:q_norm|query_layernorm|q_layernorm)\b/],
  [17, /(?:^|\.)(?:k_norm|key_layernorm|k_layernorm)\b/],
  [18, /(?:^|\.)(?:sinks)\b/],
  [19, /(?:^|\.)(?:\w*attn\w*|\w*attention\w*|mixer)\.(?:\w+\.)*(?:o_proj|out_proj|c_proj|dense|wo|output)\b/],
  // mixture of experts
  [32, /(?:^|\.)(?:\w*shared_experts?\w*)\.(?:gate_proj|gate_up_proj|w1)\b/],
  [33, /(?:^|\.)(?:\w*shared_experts?\w*)\.(?:up_proj|w3)\b/],
  [34, /(?:^|\.)(?:\w*shared_experts?\w*)\.(?:down_proj|w2)\b/],
  [31, /(?:^|\.)(?:shared_expert_gate)\b/],
  [30, /(?:^|\.)(?:gate|router)(?:\.|$)/],
  // feed-forward
  [40, /(?:^|\.)(?:gate_up_proj\w*|gate_proj\w*|w1|c_fc|fc1|fc_in|dense_h_to_4h|wi|wi_0)(?:\.|$)/],
  [41, /(?:^|\.)(?:up_proj\w*|w3|wi_1)(?:\.|$)/],
  [42, /(?:^|\.)(?:down_proj\w*|w2|c_proj|fc2|fc_out|dense_4h_to_h|wo)(?:\.|$)/],
  // anything else, as near as its module says
  [18, /(?:^|\.)(?:\w*attn\w*|\w*attention\w*|mixer)\./],
  [43, /(?:^|\.)(?:mlp|ffn|feed_forward|experts|block_sparse_moe)\./],
];

/** Where nothing is known: at the end, in checkpoint order. */
const UNKNOWN = 99;

/** Rank of a tensor within its layer; equal ranks keep checkpoint order. `rest` is its name after the layer number. */
export function consumptionRank(rest: string): number {
  for (const [rank, pattern] of RANKS) if (pattern.test(rest)) return rank;
  return UNKNOWN;
}
