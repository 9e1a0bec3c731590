// AVX-512 F, BW, VL, DQ: 32 registers of 16 floats.
#pragma once
#include "common.h"
#include <immintrin.h>

namespace airllm {
namespace {

using vf = __m512;
constexpr uint32_t kLanes = 16;
// 6 × 4 accumulators, 6 activations, 1 weight: 31 registers.
constexpr uint32_t kTileRows = 6;
constexpr uint32_t kWideRows = 2;  // rows that run 8 outputs at once
constexpr uint32_t kStripes = 2;   // outputs that one row runs at once: chains of additions enough for memory

static inline vf v_zero() { return _mm512_setzero_ps(); }
static inline vf v_set(float x) { return _mm512_set1_ps(x); }
static inline __mmask16 first_lanes(uint32_t n) { return __mmask16((1u << n) - 1); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline vf v_load_n(const float *p, uint32_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline void v_store_n(float *p, vf x, uint32_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), x); }

// To nearest, ties to even.
static inline void v_store_f16(uint8_t *p, vf x) {
  const __m256i halves = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), halves);
}

static inline vf from_bf16(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
static inline __m256i load_halves(const uint8_t *p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)); }
static inline vf w_load(F32, const uint8_t *p) { return _mm512_loadu_ps(p); }
static inline vf w_load(F16, const uint8_t *p) { return _mm512_cvtph_ps(load_halves(p)); }
static inline vf w_load(BF16, const uint8_t *p) { return from_bf16(load_halves(p)); }
static inline vf w_load_n(F32, const uint8_t *p, uint32_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
static inline vf w_load_n(F16, const uint8_t *p, uint32_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
static inline vf w_load_n(BF16, const uint8_t *p, uint32_t n) {
  return from_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
// b where either is NaN.
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_abs(vf x) { return _mm512_abs_ps(x); }
static inline vf v_round(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// x · 2ⁿ
static inline vf v_scale2(vf x, vf n) { return _mm512_scalef_ps(x, n); }
// a < b ? x : y
static inline vf v_select_lt(vf a, vf b, vf x, vf y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
static inline vf v_copysign(vf x, vf sign) {
  const vf bit = _mm512_set1_ps(-0.0f);
  return _mm512_or_ps(_mm512_andnot_ps(bit, x), _mm512_and_ps(bit, sign));
}

static inline __m256 halves_sum(vf x) { return _mm512_castps512_ps256(x) + _mm512_extractf32x8_ps(x, 1); }
// Sums of the lanes of four vectors: halves added, then each as ((0+1)+(2+3)) + ((4+5)+(6+7)).
static inline void v_reduce4(vf a, vf b, vf c, vf d, float *out) {
  const __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(halves_sum(a), halves_sum(b)),
                                     _mm256_hadd_ps(halves_sum(c), halves_sum(d)));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
}
static inline float v_reduce_max(vf x) { return _mm512_reduce_max_ps(x); }

}  // namespace
}  // namespace airllm
