// No instruction set assumed beyond the compiler's baseline: four floats at a time in its portable vectors. There is no
// fused multiply-add here: v_fma rounds twice, as it does on a CPU without one.
#pragma once
#include "common.h"

namespace airllm {
namespace {

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
constexpr uint32_t kLanes = 4;
constexpr uint32_t kTileRows = 2;
constexpr uint32_t kWideRows = 1;  // rows that run 8 outputs at once
constexpr uint32_t kStripes = 4;   // outputs that one row runs at once: chains of additions enough for memory

static inline vf v_zero() { return vf{}; }
static inline vf v_set(float x) { return vf{x, x, x, x}; }
static inline vf v_load_n(const float *p, uint32_t n) {
  vf x{};
  memcpy(&x, p, n * 4);
  return x;
}
static inline vf v_load(const float *p) {
  vf x;
  memcpy(&x, p, sizeof x);
  return x;
}
static inline void v_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
static inline void v_store_n(float *p, vf x, uint32_t n) { memcpy(p, &x, n * 4); }

static inline float as_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
static inline uint16_t half_at(const uint8_t *p, uint32_t i) {
  uint16_t x;
  memcpy(&x, p + i * 2, 2);
  return x;
}
static inline float from_bf16(uint16_t x) { return as_float(uint32_t(x) << 16); }
// Exact for every pattern: the exponent is moved by a multiplication, which also normalises subnormals.
static inline float from_f16(uint16_t x) {
  const uint32_t sign = uint32_t(x & 0x8000) << 16, rest = x & 0x7fff;
  const uint32_t magnitude =
      rest >= 0x7c00 ? 0x7f800000u | (rest & 0x3ff) << 13 : 0u;  // infinity and NaN keep their payload
  float value = magnitude ? as_float(magnitude) : as_float(rest << 13) * 5.192296858534828e33f;  // 2^112
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return as_float(bits | sign);
}
// To nearest, ties to even. Added to 1/2, whose last bit is 2^-24, what will be subnormal leaves a multiple of that.
static inline uint16_t to_f16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return uint16_t(sign | 0x7e00 | (rest >> 13 & 0x1ff));
  if (rest >= 0x477ff000) return uint16_t(sign | 0x7c00);
  if (rest >= 0x38800000) return uint16_t(sign | (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13);
  const float sum = as_float(rest) + 0.5f;
  uint32_t units;
  memcpy(&units, &sum, 4);
  return uint16_t(sign | (units & 0x7fffff));
}
static inline void v_store_f16(uint8_t *p, vf x) {
  uint16_t halves[4];
  for (int i = 0; i < 4; i++) halves[i] = to_f16(x[i]);
  memcpy(p, halves, sizeof halves);
}
static inline vf w_load(F32, const uint8_t *p) { return v_load(reinterpret_cast<const float *>(p)); }
static inline vf w_load_n(F32, const uint8_t *p, uint32_t n) { return v_load_n(reinterpret_cast<const float *>(p), n); }
template <class W> static inline vf halves(W, const uint8_t *p, uint32_t n, float (*decode)(uint16_t)) {
  vf x{};
  for (uint32_t i = 0; i < n; i++) x[i] = decode(half_at(p, i));
  return x;
}
static inline vf w_load(F16, const uint8_t *p) { return halves(F16(), p, 4, from_f16); }
static inline vf w_load(BF16, const uint8_t *p) { return halves(BF16(), p, 4, from_bf16); }
static inline vf w_load_n(F16, const uint8_t *p, uint32_t n) { return halves(F16(), p, n, from_f16); }
static inline vf w_load_n(BF16, const uint8_t *p, uint32_t n) { return halves(BF16(), p, n, from_bf16); }

static inline vf choose(vi mask, vf x, vf y) { return vf((mask & vi(x)) | (~mask & vi(y))); }
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; }
// b where either is NaN.
static inline vf v_max(vf a, vf b) { return choose(vi(a > b), a, b); }
static inline vf v_min(vf a, vf b) { return choose(vi(a < b), a, b); }
static inline vf v_abs(vf x) { return vf(vi(x) & vi{0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff}); }
// To nearest, ties to even, for |x| < 2^22: adding 1.5 · 2^23 leaves no bits below one.
static inline vf v_round(vf x) {
  const vf shift = v_set(12582912.0f);
  return (x + shift) - shift;
}
static inline vf power_of_2(vi n) { return vf((n + 127) << 23); }
// x · 2ⁿ for whole n from −252 to 254, in two steps.
static inline vf v_scale2(vf x, vf n) {
  vi whole;
  for (int i = 0; i < 4; i++) whole[i] = n[i] == n[i] ? int32_t(n[i]) : 0;
  const vi half = whole >> 1;
  return x * power_of_2(half) * power_of_2(whole - half);
}
// a < b ? x : y
static inline vf v_select_lt(vf a, vf b, vf x, vf y) { return choose(vi(a < b), x, y); }
static inline vf v_copysign(vf x, vf sign) {
  const vi bit = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
  return vf((vi(x) & ~bit) | (vi(sign) & bit));
}

// Sums of the lanes of four vectors, each as (0+1) + (2+3).
static inline void v_reduce4(vf a, vf b, vf c, vf d, float *out) {
  const vf all[4] = {a, b, c, d};
  for (int i = 0; i < 4; i++) out[i] = (all[i][0] + all[i][1]) + (all[i][2] + all[i][3]);
}
static inline float v_reduce_max(vf x) {
  float m = x[0];
  for (int i = 1; i < 4; i++) m = x[i] > m ? x[i] : m;
  return m;
}

}  // namespace
}  // namespace airllm
