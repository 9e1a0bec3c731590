// Elementary functions on vectors: the same polynomial on every path of an instruction set, so equal inputs give equal
// bytes in whichever lane they ride. Errors were measured against double precision over the whole range.
#pragma once

namespace airllm {
namespace {

// Cephes expf: within 1 ulp; below −87.33, where the result would be subnormal, 0; above 88.72 infinity.
static inline vf v_exp(vf x) {
  const vf low = v_set(-87.336540f), high = v_set(88.722830f);
  const vf bounded = v_min(high, v_max(low, x));  // this order keeps NaN
  const vf n = v_round(bounded * v_set(1.44269504088896341f));
  vf r = v_fma(n, v_set(-0.693359375f), bounded);
  r = v_fma(n, v_set(2.12194440e-4f), r);
  vf p = v_set(1.9875691500e-4f);
  p = v_fma(p, r, v_set(1.3981999507e-3f));
  p = v_fma(p, r, v_set(8.3334519073e-3f));
  p = v_fma(p, r, v_set(4.1665795894e-2f));
  p = v_fma(p, r, v_set(1.6666665459e-1f));
  p = v_fma(p, r, v_set(5.0000001201e-1f));
  const vf y = v_scale2(v_fma(p, r * r, r) + v_set(1.0f), n);
  const vf not_small = v_select_lt(x, low, v_zero(), y);
  return v_select_lt(high, x, v_set(__builtin_inff()), not_small);
}

// 1 − 2 / (e^2|x| + 1), and an odd polynomial near 0 where that would cancel (Cephes tanhf).
static inline vf v_tanh(vf x) {
  const vf size = v_abs(x);
  const vf large = v_set(1.0f) - v_set(2.0f) / (v_exp(size + size) + v_set(1.0f));
  const vf z = x * x;
  vf p = v_set(-5.70498872745e-3f);
  p = v_fma(p, z, v_set(2.06390887954e-2f));
  p = v_fma(p, z, v_set(-5.37397155531e-2f));
  p = v_fma(p, z, v_set(1.33314422036e-1f));
  p = v_fma(p, z, v_set(-3.33332819422e-1f));
  return v_select_lt(size, v_set(0.625f), v_fma(p * z, x, x), v_copysign(large, x));
}

// Rational approximation of Eigen and XLA, odd in x, |x| bounded by 4 where erf rounds to 1.
static inline vf v_erf(vf x) {
  const vf bounded = v_min(v_set(4.0f), v_max(v_set(-4.0f), x));
  const vf z = bounded * bounded;
  vf p = v_set(-2.72614225801306e-10f);
  p = v_fma(p, z, v_set(2.77068142495902e-08f));
  p = v_fma(p, z, v_set(-2.10102402082508e-06f));
  p = v_fma(p, z, v_set(-5.69250639462346e-05f));
  p = v_fma(p, z, v_set(-7.34990630326855e-04f));
  p = v_fma(p, z, v_set(-2.95459980854025e-03f));
  p = v_fma(p, z, v_set(-1.60960333262415e-02f));
  vf q = v_set(-1.45660718464996e-05f);
  q = v_fma(q, z, v_set(-2.13374055278905e-04f));
  q = v_fma(q, z, v_set(-1.68282697438203e-03f));
  q = v_fma(q, z, v_set(-7.37332916720468e-03f));
  q = v_fma(q, z, v_set(-1.42647390514189e-02f));
  return bounded * p / q;
}

static inline vf v_sigmoid(vf x) { return v_set(1.0f) / (v_set(1.0f) + v_exp(v_zero() - x)); }

// ACT2FN of transformers.
template <Activation kind> static inline vf v_activate(vf x) {
  const vf half = v_set(0.5f), one = v_set(1.0f);
  switch (kind) {
    case Activation::Silu:
      return x / (one + v_exp(v_zero() - x));
    case Activation::Gelu:
      return half * x * (one + v_erf(x * v_set(0.70710678118654752f)));
    case Activation::GeluTanh: {
      const vf inner = v_set(0.79788456080286536f) * v_fma(v_set(0.044715f) * x, x * x, x);
      return half * x * (one + v_tanh(inner));
    }
    case Activation::GeluQuick:
      return x * v_sigmoid(v_set(1.702f) * x);
    case Activation::Relu:
      return v_max(v_zero(), x);
    case Activation::Relu2: {
      const vf positive = v_max(v_zero(), x);
      return positive * positive;
    }
    case Activation::Sigmoid:
      return v_sigmoid(x);
    case Activation::Tanh:
      return v_tanh(x);
  }
  __builtin_unreachable();
}

}  // namespace
}  // namespace airllm
