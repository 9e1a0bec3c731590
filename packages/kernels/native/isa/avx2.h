// AVX2 + FMA + F16C: 16 registers of 8 floats.
#pragma once
#include "common.h"
#include <immintrin.h>

namespace airllm {
namespace {

using vf = __m256;
constexpr uint32_t kLanes = 8;
// 3 × 4 accumulators, 3 activations, 1 weight: 16 registers.
constexpr uint32_t kTileRows = 3;
constexpr uint32_t kWideRows = 1;  // rows that run 8 outputs at once
constexpr uint32_t kStripes = 4;   // outputs that one row runs at once: chains of additions enough for memory

static inline vf v_zero() { return _mm256_setzero_ps(); }
static inline vf v_set(float x) { return _mm256_set1_ps(x); }
static inline __m256i first_lanes(uint32_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline vf v_load_n(const float *p, uint32_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
static inline void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline void v_store_n(float *p, vf x, uint32_t n) { _mm256_maskstore_ps(p, first_lanes(n), x); }

// To nearest, ties to even.
static inline void v_store_f16(uint8_t *p, vf x) {
  _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

static inline __m128i first_halves(const uint8_t *p, uint32_t n) {
  uint16_t some[8] = {};
  memcpy(some, p, n * 2);
  return _mm_loadu_si128(reinterpret_cast<const __m128i *>(some));
}
static inline vf from_bf16(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
static inline __m128i load_halves(const uint8_t *p) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p)); }
static inline vf w_load(F32, const uint8_t *p) { return _mm256_loadu_ps(reinterpret_cast<const float *>(p)); }
static inline vf w_load(F16, const uint8_t *p) { return _mm256_cvtph_ps(load_halves(p)); }
static inline vf w_load(BF16, const uint8_t *p) { return from_bf16(load_halves(p)); }
static inline vf w_load_n(F32, const uint8_t *p, uint32_t n) { return v_load_n(reinterpret_cast<const float *>(p), n); }
static inline vf w_load_n(F16, const uint8_t *p, uint32_t n) { return _mm256_cvtph_ps(first_halves(p, n)); }
static inline vf w_load_n(BF16, const uint8_t *p, uint32_t n) { return from_bf16(first_halves(p, n)); }

static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
// b where either is NaN.
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_abs(vf x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
static inline vf v_round(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf power_of_2(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
// x · 2ⁿ for whole n from −252 to 254, in two steps.
static inline vf v_scale2(vf x, vf n) {
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  return x * power_of_2(half) * power_of_2(_mm256_sub_epi32(whole, half));
}
// a < b ? x : y
static inline vf v_select_lt(vf a, vf b, vf x, vf y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
static inline vf v_copysign(vf x, vf sign) {
  const vf bit = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, x), _mm256_and_ps(bit, sign));
}

// Sums of the lanes of four vectors, each as ((0+1)+(2+3)) + ((4+5)+(6+7)).
static inline void v_reduce4(vf a, vf b, vf c, vf d, float *out) {
  const vf sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
}
static inline float v_reduce_max(vf x) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

}  // namespace
}  // namespace airllm
