// Ops that look at one element, or move whole ones: embed, rope, activation, gated, add, mul, scale, softcap, slice.
#pragma once

namespace airllm {
namespace {

constexpr uint32_t kElementBlock = 4096;

// Values are contiguous [rows, width], so equal widths are one long array. `body(i, n)`: n ≤ kLanes elements from i.
template <class Body> static void for_elements(const Pass &pass, uint32_t out, Worker &worker, Body body) {
  const size_t total = size_t(pass.rows) * pass.width(out);
  const uint32_t tasks = uint32_t((total + kElementBlock - 1) / kElementBlock);
  for (uint32_t t; (t = next_task(worker)) < tasks;) {
    const size_t from = size_t(t) * kElementBlock, left = total - from;
    for_lanes(left < kElementBlock ? uint32_t(left) : kElementBlock,
              [&](uint32_t i, uint32_t n) { body(from + i, n); });
  }
}

template <class Function> static void map(const Pass &pass, const Op &op, Worker &worker, Function function) {
  const float *x = pass.value(op.a);
  float *y = pass.value(op.out);
  for_elements(pass, op.out, worker,
               [&](size_t i, uint32_t n) { store_some(y + i, function(load_some(x + i, n)), n); });
}

template <class Function> static void map2(const Pass &pass, const Op &op, Worker &worker, Function function) {
  const float *a = pass.value(op.a), *b = pass.value(op.b);
  float *y = pass.value(op.out);
  for_elements(pass, op.out, worker, [&](size_t i, uint32_t n) {
    store_some(y + i, function(load_some(a + i, n), load_some(b + i, n)), n);
  });
}

template <Activation kind> struct Act {
  static constexpr Activation value = kind;
};
template <class Body> static void with_activation(uint32_t kind, Body body) {
  switch (Activation(kind)) {
    case Activation::Silu: return body(Act<Activation::Silu>());
    case Activation::Gelu: return body(Act<Activation::Gelu>());
    case Activation::GeluTanh: return body(Act<Activation::GeluTanh>());
    case Activation::GeluQuick: return body(Act<Activation::GeluQuick>());
    case Activation::Relu: return body(Act<Activation::Relu>());
    case Activation::Relu2: return body(Act<Activation::Relu2>());
    case Activation::Sigmoid: return body(Act<Activation::Sigmoid>());
    case Activation::Tanh: return body(Act<Activation::Tanh>());
  }
}

static void op_activation(const Pass &pass, const Op &op, Worker &worker) {
  with_activation(op.n[kActKind], [&](auto act) { map(pass, op, worker, v_activate<act.value>); });
}

static void op_gated(const Pass &pass, const Op &op, Worker &worker) {
  const float bound = op.f[kGatedLimit];
  const vf limit = v_set(bound == 0 ? __builtin_inff() : bound), least = v_zero() - limit;
  const vf shift = v_set(op.f[kGatedShift]);
  // The order of arguments keeps NaN.
  with_activation(op.n[kActKind], [&](auto act) {
    map2(pass, op, worker, [&](vf gate, vf up) {
      return v_activate<decltype(act)::value>(v_min(limit, gate)) * (v_max(least, v_min(limit, up)) + shift);
    });
  });
}

static void op_add(const Pass &pass, const Op &op, Worker &worker) {
  map2(pass, op, worker, [](vf a, vf b) { return a + b; });
}

static void op_mul(const Pass &pass, const Op &op, Worker &worker) {
  map2(pass, op, worker, [](vf a, vf b) { return a * b; });
}

static void op_scale(const Pass &pass, const Op &op, Worker &worker) {
  const vf by = v_set(op.f[kBy]);
  map(pass, op, worker, [&](vf x) { return x * by; });
}

static void op_softcap(const Pass &pass, const Op &op, Worker &worker) {
  const vf cap = v_set(op.f[kBy]);
  map(pass, op, worker, [&](vf x) { return cap * v_tanh(x / cap); });
}

// The weight's rows were gathered by the caller: row r of the weight is for row r of the pass.
static void op_embed(const Pass &pass, const Op &op, Worker &worker) {
  const uint8_t *weight = pass.weight(op.weight);
  const vf scale = v_set(op.f[kBy]);
  float *y = pass.value(op.out);
  with_format(pass.dtype(op.weight), [&](auto w) {
    for_elements(pass, op.out, worker,
                 [&](size_t i, uint32_t n) { store_some(y + i, w_load_some(w, weight + i * w.bytes, n) * scale, n); });
  });
}

static void op_slice(const Pass &pass, const Op &op, Worker &worker) {
  const uint32_t width = pass.width(op.out), stride = pass.width(op.a), step = op.n[kSliceStep];
  const float *x = pass.value(op.a) + op.n[kSliceFrom];
  float *y = pass.value(op.out);
  for (uint32_t r; (r = next_task(worker)) < pass.rows;) {
    const float *from = x + size_t(r) * stride;
    float *to = y + size_t(r) * width;
    if (step == 1) memcpy(to, from, size_t(width) * 4);
    else
      for (uint32_t i = 0; i < width; i++) to[i] = from[size_t(i) * step];
  }
}

static inline void rotate_half(const float *x, float *y, const float *cos, const float *sin, uint32_t half) {
  for_lanes(half, [&](uint32_t i, uint32_t n) {
    const vf a = load_some(x + i, n), b = load_some(x + half + i, n);
    const vf c = load_some(cos + i, n), s = load_some(sin + i, n);
    store_some(y + i, a * c - b * s, n);
    store_some(y + half + i, b * c + a * s, n);
  });
}

static inline void rotate_pairs(const float *x, float *y, const float *cos, const float *sin, uint32_t half) {
  for (uint32_t i = 0; i < half; i++) {
    const float a = x[2 * i], b = x[2 * i + 1];
    y[2 * i] = a * cos[i] - b * sin[i];
    y[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

static void op_rope(const Pass &pass, const Op &op, Worker &worker) {
  const uint32_t head = op.n[kRopeHeadDim], dim = pass.program->ropes[op.n[kRopeTable]], half = dim / 2;
  const uint32_t width = pass.width(op.a);
  const float *table = reinterpret_cast<const float *>(pass.run->ropes[op.n[kRopeTable]]);
  const float *x = pass.value(op.a);
  float *y = pass.value(op.out);
  for (uint32_t r; (r = next_task(worker)) < pass.rows;) {
    const float *cos = table + size_t(r) * dim, *sin = cos + half;
    for (uint32_t at = 0; at < width; at += head) {
      const float *from = x + size_t(r) * width + at;
      float *to = y + size_t(r) * width + at;
      if (op.n[kRopeInterleaved]) rotate_pairs(from, to, cos, sin, half);
      else rotate_half(from, to, cos, sin, half);
      memcpy(to + dim, from + dim, size_t(head - dim) * 4);
    }
  }
}

}  // namespace
}  // namespace airllm
