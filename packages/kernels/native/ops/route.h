// Top-k routing and the weighted sum of the experts' outputs. The expert op itself is the interpreter's: it runs a
// sub-program.
#pragma once

namespace airllm {
namespace {

// Scores of one row: softmax or sigmoid over all experts.
static void scores_of(const float *logits, uint32_t count, bool sigmoid, float *scores) {
  if (sigmoid) {
    for_lanes(count, [&](uint32_t i, uint32_t n) { store_some(scores + i, v_sigmoid(load_some(logits + i, n)), n); });
    return;
  }
  float max = logits[0];
  for (uint32_t i = 1; i < count; i++) max = logits[i] > max ? logits[i] : max;
  const vf top = v_set(max);
  for_lanes(count, [&](uint32_t i, uint32_t n) { store_some(scores + i, v_exp(load_some(logits + i, n) - top), n); });
  float sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += scores[i];
  for (uint32_t i = 0; i < count; i++) scores[i] /= sum;
}

// The largest logit not chosen yet; of equal ones the lower id. There are few experts and fewer chosen.
static uint32_t next_largest(const float *logits, uint32_t count, const int32_t *chosen, uint32_t have) {
  uint32_t best = kNone;
  for (uint32_t e = 0; e < count; e++) {
    bool taken = false;
    for (uint32_t j = 0; j < have; j++) taken |= chosen[j] == int32_t(e);
    if (!taken && (best == kNone || logits[e] > logits[best])) best = e;
  }
  return best;
}

static void op_route(const Pass &pass, const Op &op, Worker &worker) {
  const uint32_t count = pass.width(op.a), top_k = op.n[kRouteTopK];
  float *scores = reinterpret_cast<float *>(worker.scratch);
  for (uint32_t r; (r = next_task(worker)) < pass.rows;) {
    const float *logits = pass.value(op.a) + size_t(r) * count;
    int32_t *ids = reinterpret_cast<int32_t *>(pass.value(op.out)) + size_t(r) * top_k;
    float *weights = pass.value(op.out2) + size_t(r) * top_k;
    scores_of(logits, count, op.n[kRouteSigmoid], scores);
    float sum = 0;
    for (uint32_t j = 0; j < top_k; j++) {
      ids[j] = int32_t(next_largest(logits, count, ids, j));
      sum += scores[ids[j]];
    }
    if (!op.n[kRouteNormalise]) sum = 1;
    for (uint32_t j = 0; j < top_k; j++) weights[j] = scores[ids[j]] / sum * op.f[kBy];
  }
}

static void op_combine(const Pass &pass, const Op &op, Worker &worker) {
  const uint32_t width = pass.width(op.out), top_k = op.n[kCombineTopK];
  for (uint32_t r; (r = next_task(worker)) < pass.rows;) {
    const float *slots = pass.value(op.a) + size_t(r) * top_k * width;
    const float *weights = pass.value(op.b) + size_t(r) * top_k;
    float *y = pass.value(op.out) + size_t(r) * width;
    for_lanes(width, [&](uint32_t i, uint32_t n) {
      vf sum = v_set(weights[0]) * load_some(slots + i, n);
      for (uint32_t j = 1; j < top_k; j++) sum = v_fma(v_set(weights[j]), load_some(slots + size_t(j) * width + i, n), sum);
      store_some(y + i, sum, n);
    });
  }
}

}  // namespace
}  // namespace airllm
