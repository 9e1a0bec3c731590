// RMSNorm and LayerNorm over groups of columns (a row, or each head of it). Sums: one vector accumulator, then v_reduce4.
#pragma once

namespace airllm {
namespace {

template <class Body> static void for_groups(const Pass &pass, const Op &op, Worker &worker, Body body) {
  const uint32_t width = op.n[kNormGroup];
  const uint32_t groups = uint32_t(uint64_t(pass.rows) * pass.width(op.a) / width);
  // Enough columns per task to outweigh taking it.
  const uint32_t block = width >= 2048 ? 1 : 2048 / width, tasks = ceil_div(groups, block);
  const float *x = pass.value(op.a);
  float *y = pass.value(op.out);
  for (uint32_t t; (t = next_task(worker)) < tasks;)
    for (uint32_t g = t * block; g < least(groups, (t + 1) * block); g++)
      body(x + size_t(g) * width, y + size_t(g) * width, width);
}

static void op_rms_norm(const Pass &pass, const Op &op, Worker &worker) {
  const uint8_t *weight = pass.weight(op.weight);
  const vf offset = v_set(op.f[kNormOffset]);
  with_format(pass.dtype(op.weight), [&](auto w) {
    for_groups(pass, op, worker, [&](const float *x, float *y, uint32_t width) {
      vf squares = v_zero();
      for_lanes(width, [&](uint32_t i, uint32_t n) {
        const vf v = load_some(x + i, n);
        squares = v_fma(v, v, squares);
      });
      const vf scale = v_set(1.0f / __builtin_sqrtf(v_reduce_add(squares) / float(width) + op.f[kNormEps]));
      for_lanes(width, [&](uint32_t i, uint32_t n) {
        vf v = load_some(x + i, n) * scale;
        if (weight) v = v * (w_load_some(w, weight + size_t(i) * w.bytes, n) + offset);
        store_some(y + i, v, n);
      });
    });
  });
}

static void op_layer_norm(const Pass &pass, const Op &op, Worker &worker) {
  const uint8_t *weight = pass.weight(op.weight), *bias = pass.weight(op.bias);
  const DType bias_dtype = pass.dtype(op.bias);
  with_format(pass.dtype(op.weight), [&](auto w) {
    for_groups(pass, op, worker, [&](const float *x, float *y, uint32_t width) {
      vf sum = v_zero();
      for_lanes(width, [&](uint32_t i, uint32_t n) { sum = sum + load_some(x + i, n); });
      const vf mean = v_set(v_reduce_add(sum) / float(width));
      vf squares = v_zero();
      for_lanes(width, [&](uint32_t i, uint32_t n) {
        vf v = load_some(x + i, n) - mean;
        // Lanes past the end hold 0 − mean: they must not count.
        if (n < kLanes) {
          float some[kLanes];
          v_store(some, v);
          v = v_load_n(some, n);
        }
        squares = v_fma(v, v, squares);
      });
      const vf scale = v_set(1.0f / __builtin_sqrtf(v_reduce_add(squares) / float(width) + op.f[kNormEps]));
      for_lanes(width, [&](uint32_t i, uint32_t n) {
        vf v = (load_some(x + i, n) - mean) * scale;
        if (weight) v = v * w_load_some(w, weight + size_t(i) * w.bytes, n);
        store_some(y + i, v, n);
      });
      if (bias) add_bias(y, bias, bias_dtype, 0, width);
    });
  });
}

}  // namespace
}  // namespace airllm
